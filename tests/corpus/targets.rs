//! Request targets as clients write them, with the gateway's spelling of each.

/// A row of the corpus.
pub(crate) struct Row {
    /// As it stands in the file.
    pub(crate) shown: &'static str,
    /// The target's bytes.
    pub(crate) target: Vec<u8>,
    /// What is forwarded; `None` if it is refused.
    pub(crate) spelling: Option<&'static str>,
}

/// All rows.
pub(crate) fn rows() -> impl Iterator<Item = Row> {
    include_str!("targets.tsv").lines().filter(|row| !row.starts_with('#')).map(|row| {
        let [shown, spelling, _] = row.split('\t').collect::<Vec<_>>().try_into().unwrap();
        Row { shown, target: bytes(shown), spelling: (spelling != "refused").then_some(spelling) }
    })
}

/// A text in which bytes stand as `\xHH`.
fn bytes(text: &str) -> Vec<u8> {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    bytes
}
