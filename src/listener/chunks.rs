//! Where a chunked body ends (RFC 9112 section 7.1). It is followed as strictly as hyper does it, and nothing is kept.

/// What the next byte of a chunked body must be.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Next {
    #[default]
    FirstDigit,
    /// A digit, or the end of the size.
    Size,
    /// White space behind the size.
    Padding,
    Extension,
    SizeLineFeed,
    Data,
    DataReturn,
    DataLineFeed,
    /// A trailer's first byte, or the end.
    Trailer,
    /// Within a trailer.
    TrailerText,
    TrailerLineFeed,
    LastLineFeed,
    Nothing,
}

/// A body that cannot be followed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct BrokenChunk;

/// A chunked body, as far as it has come.
#[derive(Debug, Default)]
pub(super) struct ChunkReader {
    next: Next,
    /// Size of the chunk, as far as it was read; then how much of it is left.
    left: u64,
}

impl ChunkReader {
    /// Passes over the body's part of `bytes` and says how long it is.
    ///
    /// # Errors
    /// [`BrokenChunk`] if this is no chunked body.
    pub(super) fn skip(&mut self, bytes: &[u8]) -> Result<usize, BrokenChunk> {
        let mut used = 0;
        while let Some(byte) = bytes.get(used).filter(|_| !self.has_ended()) {
            if self.next == Next::Data {
                let rest = bytes.len() - used;
                let data = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest);
                self.left -= data as u64;
                if self.left == 0 {
                    self.next = Next::DataReturn;
                }
                used += data;
            } else {
                self.next = self.step(*byte)?;
                used += 1;
            }
        }
        Ok(used)
    }

    pub(super) const fn has_ended(&self) -> bool {
        matches!(self.next, Next::Nothing)
    }

    fn step(&mut self, byte: u8) -> Result<Next, BrokenChunk> {
        Ok(match (self.next, byte) {
            (Next::FirstDigit | Next::Size, digit) if digit.is_ascii_hexdigit() => {
                let digit = char::from(digit).to_digit(16).ok_or(BrokenChunk)?;
                let left = self.left.checked_mul(16).and_then(|left| left.checked_add(u64::from(digit)));
                self.left = left.ok_or(BrokenChunk)?;
                Next::Size
            }
            (Next::Size | Next::Padding, b' ' | b'\t') => Next::Padding,
            (Next::Size | Next::Padding, b';') => Next::Extension,
            (Next::Size | Next::Padding | Next::Extension, b'\r') => Next::SizeLineFeed,
            (Next::Extension, byte) if byte != b'\n' => Next::Extension,
            (Next::SizeLineFeed, b'\n') if self.left == 0 => Next::Trailer,
            (Next::SizeLineFeed, b'\n') => Next::Data,
            (Next::DataReturn, b'\r') => Next::DataLineFeed,
            (Next::DataLineFeed, b'\n') => Next::FirstDigit,
            (Next::Trailer, b'\r') => Next::LastLineFeed,
            (Next::TrailerText, b'\r') => Next::TrailerLineFeed,
            (Next::Trailer | Next::TrailerText, _) => Next::TrailerText,
            (Next::TrailerLineFeed, b'\n') => Next::Trailer,
            (Next::LastLineFeed, b'\n') => Next::Nothing,
            _ => return Err(BrokenChunk),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{BrokenChunk, ChunkReader};

    #[test]
    fn i3_a_chunked_body_ends_where_it_says_and_a_broken_one_is_noticed() {
        for body in [
            "0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "0A \t;x=\"y\"\r\n0123456789\r\n000\r\nX: y\r\nZ:\r\n\r\n",
        ] {
            let mut reader = ChunkReader::default();
            assert_eq!(reader.skip(format!("{body}GET").as_bytes()), Ok(body.len()), "{body:?}");
            assert!(reader.has_ended());
        }
        for body in [
            "\r\n",
            "x\r\n",
            "+5\r\n",
            "0x5\r\n",
            "5\nhello",
            "5;a\nb",
            "5 6\r\n",
            "5\r\nhelloX",
            "5\r\nhello\rX",
            "fffffffffffffffff\r\n",
            "0\r\nX: y\rz",
            "0\r\n\rx",
            "5\rx",
        ] {
            assert_eq!(ChunkReader::default().skip(body.as_bytes()), Err(BrokenChunk), "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn i3_pieces_make_no_difference(bytes in "[0-9a-f;: \r\n]{0,40}", cut in 0..40_usize) {
            let (mut whole, mut halves) = (ChunkReader::default(), ChunkReader::default());
            let bytes = bytes.as_bytes();
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            let in_halves = halves.skip(first).and_then(|used| {
                if halves.has_ended() { Ok(used) } else { halves.skip(second).map(|more| used + more) }
            });
            prop_assert_eq!(whole.skip(bytes), in_halves);
        }
    }
}
