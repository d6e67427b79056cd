//! Passwords: argon2id, with bounded work.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

/// Memory in KiB, passes and lanes: the minimum of the OWASP password storage cheat sheet and of ASVS 5.0 appendix C
/// for argon2id. One hash takes about 20 ms and 19 MiB.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Hashes that run at the same time; more would only take memory and processor time from everybody else.
const CONCURRENT: usize = 2;

/// Verifications that may wait for their turn; at 50 a second the last one waits about one second.
const WAITING: usize = 64;

/// Why a password was not hashed or compared.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too many others wait; try again later.
    #[error("too many password verifications wait")]
    Overloaded,
    /// The hash function or its thread failed.
    #[error("the password could not be hashed")]
    Failed,
}

fn argon2id() -> Result<Argon2<'static>, PasswordError> {
    let parameters = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|_| PasswordError::Failed)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters))
}

/// Hashes a password into the PHC string format. Blocks for about 20 ms.
///
/// # Errors
/// [`PasswordError::Failed`].
pub fn hash_password(password: &SecretString) -> Result<String, PasswordError> {
    argon2id()?
        .hash_password(password.expose_secret().as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|_| PasswordError::Failed)
}

/// Whether a hash was made with less work than is asked for today, so that it is to be made again while the password is
/// at hand.
fn is_weaker(hash: &PasswordHash) -> bool {
    Params::try_from(hash).is_ok_and(|parameters| {
        parameters.m_cost() < MEMORY_KIB || parameters.t_cost() < PASSES || parameters.p_cost() < LANES
    })
}

/// How a password compares with a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is another one, or there is no hash.
    Wrong,
    /// It is the one.
    Right,
    /// It is the one, and its hash is to be renewed.
    RightButWeaklyHashed,
}

impl Verdict {
    /// Whether the password is the right one.
    pub fn is_right(self) -> bool {
        self != Self::Wrong
    }
}

/// Compares passwords with hashes and makes hashes, a few at a time.
#[derive(Clone)]
pub struct PasswordVerifier {
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    dummy: Arc<str>,
}

impl PasswordVerifier {
    /// Prepares the hash that unknown users are compared with.
    ///
    /// # Errors
    /// [`PasswordError::Failed`].
    pub fn new() -> Result<Self, PasswordError> {
        let unguessable = uuid::Uuid::new_v4().to_string();
        Ok(Self {
            running: Arc::new(Semaphore::new(CONCURRENT)),
            waiting: Arc::new(Semaphore::new(WAITING)),
            dummy: hash_password(&SecretString::from(unguessable))?.into(),
        })
    }

    /// How `password` compares with `hash`. Without a hash it takes as long and says no, so that the time does not
    /// tell whether an account exists (ASVS 6.3.8).
    ///
    /// # Errors
    /// [`PasswordError::Overloaded`] when too many wait already.
    pub async fn verify(
        &self,
        password: SecretString,
        hash: Option<String>,
    ) -> Result<Verdict, PasswordError> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.dummy.to_string());
        let (matches, weaker) = self
            .in_turn(move || {
                let hash = PasswordHash::new(&hash).map_err(|_| PasswordError::Failed)?;
                let matches = argon2id()?
                    .verify_password(password.expose_secret().as_bytes(), &hash)
                    .is_ok();
                Ok((matches, is_weaker(&hash)))
            })
            .await?;
        Ok(match (matches && known, weaker) {
            (false, _) => Verdict::Wrong,
            (true, false) => Verdict::Right,
            (true, true) => Verdict::RightButWeaklyHashed,
        })
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// [`PasswordError::Overloaded`] when too many wait already.
    pub async fn hash(&self, password: SecretString) -> Result<String, PasswordError> {
        self.in_turn(move || hash_password(&password)).await
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let _place = self
            .waiting
            .try_acquire()
            .map_err(|_| PasswordError::Overloaded)?;
        let turn = self
            .running
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| PasswordError::Failed)?;
        tokio::task::spawn_blocking(move || {
            // The permit travels with the work: a caller that goes away does not free it early.
            let _turn = turn;
            work()
        })
        .await
        .map_err(|_| PasswordError::Failed)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_of_a_known_user_is_accepted() {
        let right = || SecretString::from("correct horse battery staple");
        let hash = hash_password(&right()).unwrap();
        let verifier = PasswordVerifier::new().unwrap();
        let wrong = SecretString::from("correct horse battery stapl");
        let verdicts = [
            verifier.verify(right(), Some(hash.clone())).await.unwrap(),
            verifier.verify(wrong, Some(hash)).await.unwrap(),
            verifier.verify(right(), None).await.unwrap(),
        ];
        assert_eq!(verdicts, [Verdict::Right, Verdict::Wrong, Verdict::Wrong]);
    }

    #[tokio::test]
    async fn a_hash_with_weaker_parameters_is_told_from_one_of_today() {
        let right = SecretString::from("correct horse battery staple");
        let weaker = Argon2::new(
            Algorithm::Argon2id,
            Version::V0x13,
            Params::new(8 * 1024, PASSES, LANES, None).unwrap(),
        );
        let hash = weaker.hash_password(right.expose_secret().as_bytes()).unwrap();
        let verdict = PasswordVerifier::new()
            .unwrap()
            .verify(right, Some(hash.to_string()))
            .await
            .unwrap();
        assert_eq!(verdict, Verdict::RightButWeaklyHashed);
    }

    #[test]
    fn the_stored_form_names_argon2id_with_the_owasp_minimum() {
        let hash = hash_password(&SecretString::from("correct horse battery staple")).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    }
}
