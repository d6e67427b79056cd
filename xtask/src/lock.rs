//! Two commands at once must not build the same thing, or start and stop the same cluster. Locks are files; the system
//! releases them when their holder ends, however it ends.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};

/// Holds a lock for as long as it lives.
pub(crate) struct Lock(#[expect(dead_code, reason = "held, not used")] File);

/// Takes the lock of that name in a folder, waiting for another holder; `waiting` is called once before that.
pub(crate) fn take(folder: &Path, name: &str, waiting: impl FnOnce()) -> Result<Lock> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join(format!("{name}.lock"));
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    if file.try_lock().is_err() {
        waiting();
        file.lock()
            .with_context(|| format!("cannot lock {}", path.display()))?;
    }
    Ok(Lock(file))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_second_taker_waits_until_the_first_lets_go() {
        let folder = tempfile::tempdir().unwrap();
        let first = take(folder.path(), "a", || panic!("nobody holds it yet")).unwrap();
        let (waited, got) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _second = take(folder.path(), "a", || waited.store(true, Ordering::SeqCst)).unwrap();
                got.store(true, Ordering::SeqCst);
            });
            while !waited.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            assert!(!got.load(Ordering::SeqCst));
            drop(first);
        });
        assert!(got.load(Ordering::SeqCst));
    }
}
