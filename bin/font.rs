//! The font for text in pictures.

use std::sync::Once;

use plotters::style::{FontStyle, register_font};

/// Letters of DejaVu Sans.
const FONT: &[u8] = include_bytes!("font/DejaVuSans-subset.ttf");

/// Makes the font known to plotters as "sans-serif".
pub(crate) fn register() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        let registered = register_font("sans-serif", FontStyle::Normal, FONT);
        assert!(registered.is_ok(), "the font is inside the program");
    });
}
