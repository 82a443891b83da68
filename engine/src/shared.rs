//! Text that many values share: cloned without a copy, stored as any other text.

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

use serde::Deserializer;
use serde::de::{Error, Visitor};

/// Reads shared text with one allocation, where serde's own way takes two.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
    struct Text;

    impl Visitor<'_> for Text {
        type Value = Arc<str>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("text")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Arc<str>, E> {
            Ok(text.into())
        }

        fn visit_string<E: Error>(self, text: String) -> Result<Arc<str>, E> {
            Ok(text.into())
        }
    }

    deserializer.deserialize_str(Text)
}
