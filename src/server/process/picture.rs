//! `image/...`: an image, upright, in another size or format.
//!
//! Images come out as their EXIF orientation says, because what is written carries no EXIF that could say it.

use std::fs::File;
use std::io::{BufReader, Cursor};
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::metadata::Orientation;
use image::{
    DynamicImage, GenericImageView, ImageDecoder, ImageFormat, ImageReader, Limits, Rgba, RgbaImage,
};

use super::resize::{Plan, Resize};
use super::{MOST_DECODED_BYTES, Made, damaged, number, parameters};
use crate::server::reply::DataError;

/// The object store's own when nothing is said.
const QUALITY: u8 = 75;

/// What is done, in this order.
#[derive(Debug, Default, PartialEq)]
pub struct Recipe {
    resize: Option<Resize>,
    /// Clockwise, a multiple of 90 degrees.
    rotate: u16,
    format: Option<ImageFormat>,
    quality: Option<u8>,
}

impl Recipe {
    /// Reads the actions behind `image/`.
    pub fn parse<'a>(actions: impl Iterator<Item = &'a str>) -> Result<Recipe, String> {
        let mut recipe = Recipe::default();
        let mut count = 0;
        for action in actions {
            count += 1;
            match action.split(',').next() {
                Some("resize") => recipe.resize = Some(Resize::parse(action)?),
                Some("rotate") => {
                    let degrees = action.split(',').nth(1).unwrap_or_default();
                    recipe.rotate = number("rotate", degrees, 0, 360)?;
                    if !recipe.rotate.is_multiple_of(90) {
                        return Err("Images are rotated by multiples of 90 degrees here.".into());
                    }
                }
                Some("format") => {
                    let name = action.split(',').nth(1).unwrap_or_default();
                    recipe.format =
                        Some(format_named(name).ok_or_else(|| format!("{name:?} is no format."))?);
                }
                Some("quality") => {
                    for (key, value) in parameters(action) {
                        recipe.quality = Some(number(key, value, 1, 100)?);
                    }
                }
                // They are upright anyway; how a JPEG is sorted makes no other picture.
                Some("auto-orient" | "interlace") => {}
                _ => return Err(format!("{action:?} is not supported.")),
            }
        }
        if count == 0 {
            return Err("There is nothing to do with the image.".into());
        }
        Ok(recipe)
    }

    /// Does it with the image of this format in a file. Blocks.
    pub fn make(&self, format: ImageFormat, blob: &Path) -> Result<Made, DataError> {
        let image = decode(format, blob)?;
        let image = match self.rotate % 360 {
            90 => image.rotate90(),
            180 => image.rotate180(),
            270 => image.rotate270(),
            _ => image,
        };
        let image = match &self.resize {
            Some(resize) => resized(image, resize),
            None => image,
        };
        self.encode(&image, self.format.unwrap_or(format))
    }

    fn encode(&self, image: &DynamicImage, format: ImageFormat) -> Result<Made, DataError> {
        let mut bytes = Cursor::new(Vec::new());
        let (mime_type, written) = match format {
            ImageFormat::Png | ImageFormat::Gif => {
                ("image/png", image.write_to(&mut bytes, ImageFormat::Png))
            }
            ImageFormat::WebP => {
                // Its encoder knows these two kinds of pixels.
                let image = if image.color().has_alpha() {
                    DynamicImage::from(image.to_rgba8())
                } else {
                    DynamicImage::from(image.to_rgb8())
                };
                ("image/webp", image.write_to(&mut bytes, ImageFormat::WebP))
            }
            ImageFormat::Bmp => ("image/bmp", image.to_rgb8().write_to(&mut bytes, ImageFormat::Bmp)),
            _ => {
                let encoder = JpegEncoder::new_with_quality(&mut bytes, self.quality.unwrap_or(QUALITY));
                ("image/jpeg", image.to_rgb8().write_with_encoder(encoder))
            }
        };
        written.map_err(|_| damaged())?;
        Ok(Made { mime_type, bytes: bytes.into_inner().into() })
    }
}

/// The format of a MIME type that can be decoded.
pub fn format_of(mime_type: &str) -> Option<ImageFormat> {
    match mime_type {
        "image/jpeg" => Some(ImageFormat::Jpeg),
        "image/png" => Some(ImageFormat::Png),
        "image/gif" => Some(ImageFormat::Gif),
        "image/webp" => Some(ImageFormat::WebP),
        "image/bmp" => Some(ImageFormat::Bmp),
        _ => None,
    }
}

fn format_named(name: &str) -> Option<ImageFormat> {
    format_of(&format!("image/{}", if name == "jpg" { "jpeg" } else { name }))
}

/// The pixels as they are meant to be seen.
fn decode(format: ImageFormat, blob: &Path) -> Result<DynamicImage, DataError> {
    let file = File::open(blob).map_err(|error| DataError::io("read the object", &error))?;
    let mut reader = ImageReader::with_format(BufReader::new(file), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MOST_DECODED_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|_| damaged())?;
    let (width, height) = decoder.dimensions();
    if decoder.total_bytes() > MOST_DECODED_BYTES {
        return Err(DataError::new(400, "ImageTooLarge", "The image has more pixels than can be processed."));
    }
    if width == 0 || height == 0 {
        return Err(damaged());
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(|_| damaged())?;
    image.apply_orientation(orientation);
    Ok(image)
}

fn resized(image: DynamicImage, resize: &Resize) -> DynamicImage {
    let Plan { scaled: (width, height), canvas } = resize.plan(image.dimensions());
    let smaller = width <= image.width() && height <= image.height();
    let scaled = match (width, height) == image.dimensions() {
        true => image,
        // Averages what becomes one pixel: as good as a filter where it matters, and many times as fast.
        false if smaller => image.thumbnail_exact(width, height),
        false => image.resize_exact(width, height, FilterType::Triangle),
    };
    if canvas == (width, height) {
        return scaled;
    }
    let middle = |outer: u32, inner: u32| outer.saturating_sub(inner) / 2;
    if canvas.0 <= width && canvas.1 <= height {
        return scaled.crop_imm(middle(width, canvas.0), middle(height, canvas.1), canvas.0, canvas.1);
    }
    let [red, green, blue] = resize.color;
    let mut padded = RgbaImage::from_pixel(canvas.0, canvas.1, Rgba([red, green, blue, 255]));
    let at = (middle(canvas.0, width), middle(canvas.1, height));
    image::imageops::overlay(&mut padded, &scaled.to_rgba8(), at.0.into(), at.1.into());
    DynamicImage::from(padded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(text: &str) -> Recipe {
        Recipe::parse(text.split('/')).unwrap()
    }

    /// A picture whose left half is red and whose right half is blue.
    fn two_colours(width: u32, height: u32) -> DynamicImage {
        let pixel = |x, _| if x < width / 2 { Rgba([255, 0, 0, 255]) } else { Rgba([0, 0, 255, 255]) };
        DynamicImage::from(RgbaImage::from_fn(width, height, pixel))
    }

    fn stored(image: &DynamicImage, format: ImageFormat) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut bytes = Cursor::new(Vec::new());
        image.to_rgb8().write_to(&mut bytes, format).unwrap();
        std::fs::write(file.path(), bytes.into_inner()).unwrap();
        file
    }

    #[test]
    fn pictures_of_every_format_are_resized() {
        let image = two_colours(300, 200);
        for (format, mime_type) in [
            (ImageFormat::Jpeg, "image/jpeg"),
            (ImageFormat::Png, "image/png"),
            (ImageFormat::WebP, "image/webp"),
            (ImageFormat::Bmp, "image/bmp"),
        ] {
            assert_eq!(format_of(mime_type), Some(format));
            let file = stored(&image, format);
            let made = recipe("resize,m_fill,w_60,h_60").make(format, file.path()).unwrap();
            assert_eq!(made.mime_type, mime_type);
            let small = image::load_from_memory_with_format(&made.bytes, format).unwrap().to_rgb8();
            assert_eq!(small.dimensions(), (60, 60));
            assert!(small.get_pixel(5, 30)[0] > 200 && small.get_pixel(55, 30)[2] > 200, "{mime_type}");
        }
    }

    #[test]
    fn other_formats_padding_and_turning() {
        let file = stored(&two_colours(40, 20), ImageFormat::Png);
        let make = |text: &str| {
            let made = recipe(text).make(ImageFormat::Png, file.path()).unwrap();
            (made.mime_type, image::load_from_memory(&made.bytes).unwrap().to_rgb8())
        };
        let (mime_type, jpeg) = make("resize,m_pad,w_20,h_20,color_00FF00/format,jpg/quality,q_95");
        assert_eq!((mime_type, jpeg.dimensions()), ("image/jpeg", (20, 20)));
        assert!(jpeg.get_pixel(10, 1)[1] > 200 && jpeg.get_pixel(2, 10)[0] > 150);
        let (_, turned) = make("rotate,90");
        assert_eq!(turned.dimensions(), (20, 40));
        assert_eq!((turned.get_pixel(10, 2)[0], turned.get_pixel(10, 38)[2]), (255, 255));
    }

    #[test]
    fn damage_is_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"\xff\xd8\xff\xe0 this is no picture").unwrap();
        for format in
            [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Gif, ImageFormat::WebP, ImageFormat::Bmp]
        {
            let error = recipe("resize,w_10").make(format, file.path()).err().unwrap();
            assert_eq!(error.status, 400);
        }
    }
}
