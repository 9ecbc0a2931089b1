//! Whose client certificates count: files that openssl makes, of many shapes, judged by the gateway's code and, beside it, by
//! openssl itself, which is what nginx asks.

mod chains;
mod lists;
mod made;
