//! The syntax of `X-Forwarded-Client-Cert`: elements with `,` between them, of pairs `Key=value` with `;` between them.
//! Values may stand in quotes, where `\"` is a quote and the separators are text.

use super::{Malformed, Name};

/// What is of use of an element, still escaped.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Element<'a> {
    /// `Cert`: the certificate.
    pub(super) cert: Option<&'a str>,
    /// `Chain`: the certificate and those that came with it.
    pub(super) chain: Option<&'a str>,
}

impl<'a> Element<'a> {
    /// Reads a header that must have one element. Keys are the same in any case of letters; those that say nothing of
    /// use (`By`, `Hash`, `Subject`, `URI`, `DNS`) are passed over.
    pub(super) fn read(text: &'a str, name: Name) -> Result<Self, Malformed> {
        let elements = split(text, b',').ok_or(Malformed::Encoding(name))?;
        let &[element] = elements.as_slice() else { return Err(Malformed::Appended(name)) };
        let mut read = Self::default();
        for pair in split(element, b';').ok_or(Malformed::Encoding(name))? {
            let (key, value) = pair.split_once('=').ok_or(Malformed::Encoding(name))?;
            let place = match key.trim().to_ascii_lowercase().as_str() {
                "cert" => &mut read.cert,
                "chain" => &mut read.chain,
                _ => continue,
            };
            if place.replace(unquoted(value.trim())).is_some() {
                return Err(Malformed::Twice(name));
            }
        }
        Ok(read)
    }
}

/// Parts between separators that stand outside quotes; `None` if a quote is left open.
fn split(text: &str, separator: u8) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    let (mut start, mut in_quotes, mut is_escaped) = (0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_quotes => is_escaped = true,
            b'"' => in_quotes = !in_quotes,
            _ if byte == separator && !in_quotes => {
                parts.push(text.get(start..at)?);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..)?);
    (!in_quotes).then_some(parts)
}

/// Without the quotes around it. What is escaped for URLs holds none inside, so there is nothing to take a `\` from.
fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::{Element, split};
    use crate::listener::forwarded_cert::{Malformed, X_FORWARDED_CLIENT_CERT};

    fn read(text: &str) -> Result<Element<'_>, Malformed> {
        Element::read(text, &X_FORWARDED_CLIENT_CERT)
    }

    #[test]
    fn separators_in_quotes_are_text() {
        assert_eq!(split(r#"a="1;2";b="\";";c=3"#, b';').unwrap(), [r#"a="1;2""#, r#"b="\";""#, "c=3"]);
        assert_eq!(split("", b';').unwrap(), [""]);
        assert_eq!(split(r#"a="1;2"#, b';'), None);
        assert_eq!(split(r#"a="1\"#, b';'), None);
    }

    #[test]
    fn an_element_with_everything_that_envoy_writes_is_read() {
        let text = r#"By=spiffe://x/a;Hash=00ff;Cert="x%0A";Chain="y";Subject="CN=\"a,b\";O=c";URI=;DNS=a.example;DNS=b"#;
        assert_eq!(read(text), Ok(Element { cert: Some("x%0A"), chain: Some("y") }));
        assert_eq!(read("cert=x"), Ok(Element { cert: Some("x"), chain: None }));
        assert_eq!(read("By=x;Hash=y"), Ok(Element::default()));
    }

    #[test]
    fn more_than_one_element_or_value_is_refused() {
        let name = &X_FORWARDED_CLIENT_CERT;
        assert_eq!(read(r#"Hash=0;Cert="x",By=y;Cert="z""#), Err(Malformed::Appended(name)));
        assert_eq!(read("Cert=x,"), Err(Malformed::Appended(name)));
        assert_eq!(read("Cert=x;cert=y"), Err(Malformed::Twice(name)));
        assert_eq!(read("Cert=x;;Hash=0"), Err(Malformed::Encoding(name)));
        assert_eq!(read(r#"Cert="x"#), Err(Malformed::Encoding(name)));
    }
}
