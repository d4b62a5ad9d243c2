//! `image/resize`: which size an image gets. Pure arithmetic.

use super::{number, parameters};

/// The longest side that can be asked for, in pixels.
const LONGEST: u32 = 16_384;

/// How width and height are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    /// The largest that fits into them.
    #[default]
    Lfit,
    /// The smallest that covers them.
    Mfit,
    /// Covers them, and what stands out is cut off.
    Fill,
    /// Fits into them, and the rest is filled with a colour.
    Pad,
    /// Exactly them, stretched.
    Fixed,
}

/// What `resize` was told.
#[derive(Debug, PartialEq)]
pub struct Resize {
    mode: Mode,
    width: Option<u32>,
    height: Option<u32>,
    longest: Option<u32>,
    shortest: Option<u32>,
    percent: Option<u32>,
    enlarges: bool,
    /// Of the padding, red, green and blue.
    pub color: [u8; 3],
}

/// The sizes on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Of the scaled image.
    pub scaled: (u32, u32),
    /// Of the result: smaller than the scaled image when it is cut, larger when it is padded.
    pub canvas: (u32, u32),
}

impl Resize {
    /// Reads `resize,m_fill,w_128,...`.
    pub fn parse(action: &str) -> Result<Resize, String> {
        let mut resize = Resize {
            mode: Mode::Lfit,
            width: None,
            height: None,
            longest: None,
            shortest: None,
            percent: None,
            enlarges: false,
            color: [255; 3],
        };
        for (key, value) in parameters(action) {
            let side = || number(key, value, 1, LONGEST).map(Some);
            match key {
                "m" => resize.mode = mode(value)?,
                "w" => resize.width = side()?,
                "h" => resize.height = side()?,
                "l" => resize.longest = side()?,
                "s" => resize.shortest = side()?,
                "p" => resize.percent = Some(number(key, value, 1, 1000)?),
                "limit" => resize.enlarges = number(key, value, 0, 1)? == 0,
                "color" => resize.color = color(value)?,
                _ => return Err(format!("resize has no parameter {key}.")),
            }
        }
        let sides = [resize.width, resize.height, resize.longest, resize.shortest, resize.percent];
        if sides.iter().all(Option::is_none) {
            return Err("resize needs one of w, h, l, s, p.".into());
        }
        Ok(resize)
    }

    /// The sizes for an image of this size, which is not empty.
    pub fn plan(&self, source: (u32, u32)) -> Plan {
        let (width, height) = (f64::from(source.0), f64::from(source.1));
        let same = |scaled| Plan { scaled, canvas: scaled };
        if let Some(percent) = self.percent {
            return same(self.scale(source, f64::from(percent) / 100.0));
        }
        let (wanted_width, wanted_height) = match (self.width, self.height) {
            (None, None) => {
                let (long, short) = (width.max(height), width.min(height));
                let by_long = self.longest.map(|side| f64::from(side) / long);
                let by_short = self.shortest.map(|side| f64::from(side) / short);
                let factor = match (by_long, by_short) {
                    (Some(a), Some(b)) => a.min(b),
                    (a, b) => a.or(b).unwrap_or(1.0),
                };
                return same(self.scale(source, factor));
            }
            (Some(side), None) => return same(self.scale(source, f64::from(side) / width)),
            (None, Some(side)) => return same(self.scale(source, f64::from(side) / height)),
            (Some(width), Some(height)) => (width, height),
        };
        let (by_width, by_height) = (f64::from(wanted_width) / width, f64::from(wanted_height) / height);
        let (fits, covers) = (by_width.min(by_height), by_width.max(by_height));
        let wanted = (wanted_width, wanted_height);
        match self.mode {
            Mode::Lfit => same(self.scale(source, fits)),
            Mode::Mfit => same(self.scale(source, covers)),
            Mode::Fixed if !self.enlarges && (wanted.0 > source.0 || wanted.1 > source.1) => same(source),
            Mode::Fixed => same(wanted),
            Mode::Fill => {
                let scaled = self.scale(source, covers);
                Plan { scaled, canvas: (wanted.0.min(scaled.0), wanted.1.min(scaled.1)) }
            }
            Mode::Pad => Plan { scaled: self.scale(source, fits), canvas: wanted },
        }
    }

    fn scale(&self, source: (u32, u32), factor: f64) -> (u32, u32) {
        if factor >= 1.0 && !self.enlarges {
            return source;
        }
        // Of a very long and thin image something has to be left, and a very small one cannot become endless.
        let side = |pixels: u32| (f64::from(pixels) * factor).round().clamp(1.0, f64::from(LONGEST)) as u32;
        (side(source.0), side(source.1))
    }
}

fn mode(text: &str) -> Result<Mode, String> {
    Ok(match text {
        "lfit" => Mode::Lfit,
        "mfit" => Mode::Mfit,
        "fill" => Mode::Fill,
        "pad" => Mode::Pad,
        "fixed" => Mode::Fixed,
        _ => return Err(format!("resize has no mode {text}.")),
    })
}

/// `FF8000`.
fn color(text: &str) -> Result<[u8; 3], String> {
    let all = u32::from_str_radix(text, 16).ok().filter(|_| text.len() == 6);
    let [_, red, green, blue] = all.ok_or_else(|| format!("{text:?} is no color."))?.to_be_bytes();
    Ok([red, green, blue])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_object_store() {
        for (action, source, scaled, canvas) in [
            ("resize,w_100,h_100", (400, 200), (100, 50), (100, 50)),
            ("resize,m_mfit,w_100,h_100", (400, 200), (200, 100), (200, 100)),
            ("resize,m_fill,w_100,h_100", (400, 200), (200, 100), (100, 100)),
            ("resize,m_pad,w_100,h_100,color_FF0000", (400, 200), (100, 50), (100, 100)),
            ("resize,m_fixed,w_100,h_100", (400, 200), (100, 100), (100, 100)),
            ("resize,w_100", (400, 200), (100, 50), (100, 50)),
            ("resize,h_100", (400, 200), (200, 100), (200, 100)),
            ("resize,l_100", (200, 400), (50, 100), (50, 100)),
            ("resize,s_100", (200, 400), (100, 200), (100, 200)),
            ("resize,p_50", (400, 201), (200, 101), (200, 101)),
            // Nothing is enlarged unless it is asked for.
            ("resize,w_800", (400, 200), (400, 200), (400, 200)),
            ("resize,w_800,limit_0", (400, 200), (800, 400), (800, 400)),
            ("resize,p_200,limit_0", (400, 200), (800, 400), (800, 400)),
            ("resize,m_fixed,w_800,h_100", (400, 200), (400, 200), (400, 200)),
            ("resize,m_fill,w_128,h_128,limit_0", (64, 32), (256, 128), (128, 128)),
            ("resize,m_fill,w_128,h_128", (64, 300), (64, 300), (64, 128)),
            // Long and thin.
            ("resize,w_10", (60_000, 1), (10, 1), (10, 1)),
            ("resize,m_fill,w_128,h_128,limit_0", (1, 60_000), (128, 16_384), (128, 128)),
        ] {
            let plan = Resize::parse(action).unwrap().plan(source);
            assert_eq!(plan, Plan { scaled, canvas }, "{action} of {source:?}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for action in
            ["resize", "resize,m_round,w_1", "resize,w_0", "resize,w_16385", "resize,p_0", "resize,x_1"]
        {
            Resize::parse(action).unwrap_err();
        }
        assert_eq!(Resize::parse("resize,m_pad,w_1,color_00ff7f").unwrap().color, [0, 255, 127]);
        Resize::parse("resize,w_1,color_red").unwrap_err();
    }
}
