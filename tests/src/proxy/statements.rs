//! The part of PostgreSQL's protocol that the proxy reads.

/// The statement of the readiness check, twice a second.
pub const READINESS_CHECK: &[u8] = b"SELECT current_setting('transaction_read_only')";

/// The server's last message after a statement has ended and is committed.
pub const READY_FOR_QUERY: &[u8] = b"Z\0\0\0\x05I";

/// Name and text of a prepared statement, if the bytes start with its preparation.
pub fn prepared(bytes: &[u8]) -> Option<(Vec<u8>, String)> {
    let mut strings = strings(bytes, b'P')?;
    let (name, text) = (strings.next()?, strings.next()?);
    Some((name.to_vec(), String::from_utf8_lossy(text).into_owned()))
}

/// Name of an executed prepared statement, if the bytes start with its execution.
pub fn executed(bytes: &[u8]) -> Option<Vec<u8>> {
    strings(bytes, b'B')?.nth(1).map(<[u8]>::to_vec)
}

/// The strings at the start of a message of this kind.
fn strings(bytes: &[u8], kind: u8) -> Option<impl Iterator<Item = &[u8]>> {
    let (&first, rest) = bytes.split_first()?;
    (first == kind).then(|| rest.get(4..).unwrap_or_default().split(|byte| *byte == 0))
}
