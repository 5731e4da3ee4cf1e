//! Compressed text files, told by the end of their names as Hadoop does: `rows.json.gz`.

use std::io::{self, Read};
use std::path::Path;

use bzip2::read::MultiBzDecoder;
use flate2::read::{MultiGzDecoder, ZlibDecoder};

use crate::{Error, Result};

/// How the bytes of a file are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    /// Not at all.
    Plain,
    /// `.gz`
    Gzip,
    /// `.deflate`
    Deflate,
    /// `.bz2`
    Bzip2,
    /// `.zst`
    Zstandard,
}

impl Compression {
    /// What the name of a file says.
    ///
    /// # Errors
    /// `SKIRL_UNSUPPORTED` for what Spark unpacks and we do not.
    pub fn of(path: &Path) -> Result<Compression> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        Ok(match extension.to_ascii_lowercase().as_str() {
            "gz" => Compression::Gzip,
            "deflate" => Compression::Deflate,
            "bz2" => Compression::Bzip2,
            "zst" => Compression::Zstandard,
            "lz4" | "snappy" => {
                return Err(Error::unsupported(format!(
                    "{} is compressed as Hadoop does with `.{extension}`, which Skirl does not unpack yet; use .gz, .bz2, \
                     .deflate or .zst",
                    path.display()
                )));
            }
            _ => Compression::Plain,
        })
    }

    /// What a file seems to be compressed with though its name does not say so: Spark would read it as text.
    pub fn unnamed(bytes: &[u8]) -> Option<&'static str> {
        let begins: &[(&[u8], &str)] = &[
            (b"\x1f\x8b", "gzip"),
            (b"BZh", "bzip2"),
            (b"\x28\xb5\x2f\xfd", "Zstandard"),
            (b"\xfd7zXZ\0", "xz"),
            (b"PK\x03\x04", "zip"),
        ];
        let found = begins.iter().find(|(begin, _)| bytes.starts_with(begin));
        found.map(|(_, name)| *name)
    }

    /// The bytes that were compressed; a file may hold several parts, one behind another.
    ///
    /// # Errors
    /// Bytes that are not compressed so, or end too early.
    pub fn unpack(self, packed: Vec<u8>) -> io::Result<Vec<u8>> {
        match self {
            Compression::Plain => Ok(packed),
            _ if packed.is_empty() => Ok(packed),
            Compression::Gzip => all(MultiGzDecoder::new(packed.as_slice())),
            Compression::Deflate => all(ZlibDecoder::new(packed.as_slice())),
            Compression::Bzip2 => all(MultiBzDecoder::new(packed.as_slice())),
            Compression::Zstandard => zstd::decode_all(packed.as_slice()),
        }
    }
}

fn all(mut reader: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The name of a file without what says how it is compressed: `rows.json` of `rows.json.gz`.
pub fn without_compression(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((plain, extension)) if PACKED.iter().any(|packed| extension.eq_ignore_ascii_case(packed)) => plain,
        _ => name,
    }
}

/// Extensions of compressed files, whether they can be read or not.
const PACKED: &[&str] = &["gz", "deflate", "bz2", "zst", "lz4", "snappy"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_says_how_a_file_is_compressed() {
        for (name, wanted, plain) in [
            ("rows.json", Compression::Plain, "rows.json"),
            ("rows.json.gz", Compression::Gzip, "rows.json"),
            ("rows.json.GZ", Compression::Gzip, "rows.json"),
            ("rows.csv.bz2", Compression::Bzip2, "rows.csv"),
            ("rows.zst", Compression::Zstandard, "rows"),
            ("rows.xz", Compression::Plain, "rows.xz"),
        ] {
            assert_eq!(Compression::of(Path::new(name)).unwrap(), wanted, "{name}");
            assert_eq!(without_compression(name), plain);
        }
        let refused = Compression::of(Path::new("rows.json.lz4")).unwrap_err();
        insta::assert_snapshot!(refused, @"rows.json.lz4 is compressed as Hadoop does with `.lz4`, which Skirl does not unpack yet; use .gz, .bz2, .deflate or .zst");
    }
}
