//! Signs checkpoints with a new key, when keys are rotated.

use teppan_shared::postgres::DatabaseError;

use crate::checkpoints::Checkpoints;

/// Checkpoints of one run.
const BATCH_MAX: i64 = 500;

/// The result of one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resigned {
    /// Checkpoints that have a new signature.
    pub done: u64,
    /// Checkpoints that were not signed again, because their signature is wrong or its key is not in the ring.
    pub refused: u64,
    /// The number after which the next run begins; `None` after the last checkpoint.
    pub next: Option<i64>,
}

impl Checkpoints {
    /// Signs the next checkpoints after number `after` with the key that signs now, if another key signed them.
    ///
    /// Each checkpoint is verified with its old key first. The digests stay as they are, so the checkpoints verify at
    /// any moment of a rotation, and a run may be repeated or interrupted. The worker may write checkpoints meanwhile.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn resign_checkpoints(&self, after: i64) -> Result<Resigned, DatabaseError> {
        let version = self.keys.signing_version();
        let page = || sqlx::query_file!("src/checkpoints/to_resign.sql", after, version, BATCH_MAX);
        let page = self.database.fetch_all(page).await?;
        let (mut numbers, mut previous, mut macs) = (Vec::new(), Vec::new(), Vec::new());
        for row in page.iter().filter(|row| self.keys.verify(row.key_version, &row.digest, &row.mac)) {
            numbers.push(row.number);
            previous.push(row.mac.clone());
            macs.push(self.keys.sign(&row.digest).to_vec());
        }
        let resign = || sqlx::query_file!("src/checkpoints/resign.sql", &numbers, &previous, &macs, version);
        let done = self.database.fetch_all(resign).await?.len();
        Ok(Resigned {
            done: u64::try_from(done).unwrap_or(u64::MAX),
            refused: u64::try_from(page.len() - numbers.len()).unwrap_or(u64::MAX),
            next: page.last().filter(|_| i64::try_from(page.len()) == Ok(BATCH_MAX)).map(|last| last.number),
        })
    }
}
