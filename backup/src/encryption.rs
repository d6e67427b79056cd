//! Encryption of dumps by age (<https://age-encryption.org/v1>) with X25519 keys.
//!
//! The pod that dumps holds the recipient alone, a public key; the identity that decrypts is mounted only where
//! dumps are verified or restored. Files are read by the standard `age` command as well.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use age::stream::{StreamReader, StreamWriter};
use age::x25519;
use age::{DecryptError, Decryptor, Encryptor};
use secrecy::{ExposeSecret, SecretString};

/// The public key that a dump is encrypted to.
#[derive(Debug, Clone)]
pub struct Recipient(x25519::Recipient);

/// The private keys that dumps are decrypted with.
pub struct Identities(Vec<x25519::Identity>);

/// A key file that cannot be used, or a file that these keys do not open. Never quotes a key.
#[derive(Debug, thiserror::Error)]
pub enum EncryptionError {
    /// The file could not be read.
    #[error("the key file {} cannot be read: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file does not hold one recipient.
    #[error(
        "{} must hold exactly one age recipient (a line `age1…`), and it holds {found}; \
         `medical-backup keygen` makes a pair of keys", .path.display()
    )]
    Recipient {
        /// The file.
        path: PathBuf,
        /// What it holds instead.
        found: String,
    },
    /// The file holds no identity, or something else.
    #[error("{} must hold age identities (lines `AGE-SECRET-KEY-1…`), and line {line} is none", .path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// The first line that is no identity, counted from 1.
        line: usize,
    },
    /// The identity is not the one the dump was encrypted to.
    #[error(
        "none of the identities opens this dump: it needs the identity that belongs to recipient {recipient}"
    )]
    NoMatchingKey {
        /// What the dump was encrypted to, as its manifest says.
        recipient: String,
    },
    /// Not a file of age, or damaged.
    #[error("decryption failed: {0}")]
    Decrypt(DecryptError),
    /// The encryption could not begin.
    #[error("encryption failed: {0}")]
    Encrypt(String),
}

/// The lines of a key file that are neither empty nor comments, with their numbers.
fn key_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim()));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

fn read(path: &Path) -> Result<String, EncryptionError> {
    fs::read_to_string(path).map_err(|source| EncryptionError::Read {
        path: path.to_owned(),
        source,
    })
}

impl Recipient {
    /// Reads the one recipient that `path` holds.
    pub fn from_file(path: &Path) -> Result<Self, EncryptionError> {
        let text = read(path)?;
        let lines: Vec<_> = key_lines(&text).collect();
        let refused = |found: String| EncryptionError::Recipient {
            path: path.to_owned(),
            found,
        };
        match lines[..] {
            [(number, line)] => x25519::Recipient::from_str(line)
                .map(Self)
                .map_err(|_| refused(format!("something else in line {number}"))),
            _ => Err(refused(format!("{} lines", lines.len()))),
        }
    }

    /// Begins an encrypted stream into `output`.
    pub fn encrypt<W: Write>(&self, output: W) -> Result<StreamWriter<W>, EncryptionError> {
        let recipients = std::iter::once(&self.0 as &dyn age::Recipient);
        let encryptor = Encryptor::with_recipients(recipients)
            .map_err(|error| EncryptionError::Encrypt(error.to_string()))?;
        encryptor
            .wrap_output(output)
            .map_err(|error| EncryptionError::Encrypt(error.to_string()))
    }
}

impl std::fmt::Display for Recipient {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Identities {
    /// Reads every identity that `path` holds; several are allowed, so that dumps from before a change of keys still open.
    pub fn from_file(path: &Path) -> Result<Self, EncryptionError> {
        let text = SecretString::from(read(path)?);
        let mut identities = Vec::new();
        for (line, key) in key_lines(text.expose_secret()) {
            let identity = x25519::Identity::from_str(key).map_err(|_| EncryptionError::Identity {
                path: path.to_owned(),
                line,
            })?;
            identities.push(identity);
        }
        if identities.is_empty() {
            return Err(EncryptionError::Identity {
                path: path.to_owned(),
                line: 1,
            });
        }
        Ok(Self(identities))
    }

    /// Begins to decrypt `input`. `recipient` is what the manifest says it was encrypted to, for the message.
    pub fn decrypt<R: Read>(&self, input: R, recipient: &str) -> Result<StreamReader<R>, EncryptionError> {
        let identities = self.0.iter().map(|identity| identity as &dyn age::Identity);
        Decryptor::new(input)
            .and_then(|decryptor| decryptor.decrypt(identities))
            .map_err(|error| match error {
                DecryptError::NoMatchingKeys => EncryptionError::NoMatchingKey {
                    recipient: recipient.to_owned(),
                },
                other => EncryptionError::Decrypt(other),
            })
    }
}

impl std::fmt::Debug for Identities {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Identities({} redacted)", self.0.len())
    }
}

/// A new pair of keys.
pub struct KeyPair {
    /// The private key, `AGE-SECRET-KEY-1…`.
    pub identity: SecretString,
    /// The public key, `age1…`.
    pub recipient: String,
}

impl KeyPair {
    /// Makes a pair from the operating system's random numbers.
    pub fn generate() -> Self {
        let identity = x25519::Identity::generate();
        Self {
            recipient: identity.to_public().to_string(),
            identity: identity.to_string(),
        }
    }
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("KeyPair")
            .field("recipient", &self.recipient)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        file
    }

    fn encrypted(pair: &KeyPair, plain: &[u8]) -> Vec<u8> {
        let recipient = Recipient::from_file(file(&pair.recipient).path()).unwrap();
        let mut writer = recipient.encrypt(Vec::new()).unwrap();
        writer.write_all(plain).unwrap();
        writer.finish().unwrap()
    }

    fn identities(pair: &KeyPair) -> Identities {
        Identities::from_file(file(pair.identity.expose_secret()).path()).unwrap()
    }

    #[test]
    fn what_is_encrypted_to_a_recipient_opens_with_its_identity_alone() {
        let (pair, other) = (KeyPair::generate(), KeyPair::generate());
        let sealed = encrypted(&pair, b"row");
        let mut plain = Vec::new();
        identities(&pair)
            .decrypt(&sealed[..], "")
            .unwrap()
            .read_to_end(&mut plain)
            .unwrap();
        assert_eq!(plain, b"row");

        let refused = identities(&other)
            .decrypt(&sealed[..], &pair.recipient)
            .err()
            .unwrap();
        assert!(refused.to_string().ends_with(&pair.recipient), "{refused}");
    }

    #[test]
    fn a_cut_off_stream_does_not_end_like_a_whole_one() {
        let pair = KeyPair::generate();
        let sealed = encrypted(&pair, &vec![7; 300_000]);
        for length in [sealed.len() - 1, 200_000, 66_000] {
            let read = identities(&pair)
                .decrypt(&sealed[..length], "")
                .map(|mut reader| reader.read_to_end(&mut Vec::new()));
            assert!(
                read.is_err() || read.is_ok_and(|result| result.is_err()),
                "cut at {length}"
            );
        }
    }

    #[test]
    fn a_bad_key_file_is_refused_without_being_quoted() {
        let pair = KeyPair::generate();
        let secret = pair.identity.expose_secret();
        for text in [
            "",
            "# only a comment\n",
            "age1nonsense",
            &pair.identity.expose_secret()[..40],
        ] {
            let error = Identities::from_file(file(text).path()).unwrap_err().to_string();
            assert!(
                !error.contains("nonsense") && !error.contains(&secret[..20]),
                "{error}"
            );
        }
        let two = format!("{0}\n{0}\n", pair.recipient);
        for text in ["", two.as_str(), secret] {
            let error = Recipient::from_file(file(text).path()).unwrap_err().to_string();
            assert!(
                error.contains("exactly one age recipient") && !error.contains(&secret[..20]),
                "{error}"
            );
        }
    }

    #[test]
    fn comments_and_several_identities_are_read() {
        let (one, two) = (KeyPair::generate(), KeyPair::generate());
        let keys = format!(
            "# old\n{}\n\n# new\n{}\n",
            one.identity.expose_secret(),
            two.identity.expose_secret()
        );
        let identities = Identities::from_file(file(&keys).path()).unwrap();
        for pair in [&one, &two] {
            assert!(identities.decrypt(&encrypted(pair, b"x")[..], "").is_ok());
        }
        assert_eq!(format!("{identities:?}"), "Identities(2 redacted)");
    }
}
