//! The file with the newest checkpoint, which is kept outside the database.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use crate::checkpoints::checkpoint::Anchor;

/// A file with one checkpoint as JSON.
#[derive(Debug, Clone)]
pub struct CheckpointFile(pub PathBuf);

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointFileError {
    #[error("{} cannot be read", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    #[error("{} does not contain a checkpoint of this command", .0.display())]
    Malformed(PathBuf, #[source] serde_json::Error),
    #[error("{} cannot be written", .0.display())]
    NotWritten(PathBuf, #[source] io::Error),
}

impl CheckpointFile {
    /// `None` if the file does not exist.
    pub fn read(&self) -> Result<Option<Anchor>, CheckpointFileError> {
        match fs::read_to_string(&self.0) {
            Ok(text) => {
                let anchor = serde_json::from_str(&text);
                anchor.map(Some).map_err(|error| CheckpointFileError::Malformed(self.0.clone(), error))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(CheckpointFileError::Unreadable(self.0.clone(), error)),
        }
    }

    /// Replaces the file at once: a reader, or a crash, finds the file before or the file after.
    pub fn write(&self, anchor: &Anchor) -> Result<(), CheckpointFileError> {
        let mut part = self.0.clone().into_os_string();
        part.push(format!(".{}.part", std::process::id()));
        let part = PathBuf::from(part);
        let write = || -> io::Result<()> {
            let mut file = File::create(&part)?;
            file.write_all(serde_json::to_string(anchor)?.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&part, &self.0)?;
            let folder = self.0.parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        };
        write().map_err(|error| {
            let _ = fs::remove_file(&part);
            CheckpointFileError::NotWritten(self.0.clone(), error)
        })
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn a_written_checkpoint_is_read_back_and_other_files_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = CheckpointFile(folder.path().join("checkpoint.json"));
        assert_eq!(file.read().expect("no file"), None);
        let mut anchor = Anchor {
            number: 7,
            digest: "ab".repeat(32),
            event_count: 9,
            booking_count: 8,
            created_at: DateTime::UNIX_EPOCH,
        };
        for number in [7, 8] {
            anchor.number = number;
            file.write(&anchor).expect("written");
            assert_eq!(file.read().expect("read"), Some(anchor.clone()));
        }
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing is left over");
        fs::write(&file.0, "{}").expect("written");
        assert!(matches!(file.read(), Err(CheckpointFileError::Malformed(..))));
        assert!(matches!(CheckpointFile(folder.path().to_owned()).read(), Err(CheckpointFileError::Unreadable(..))));
        let nowhere = CheckpointFile(folder.path().join("no-folder/checkpoint.json"));
        assert!(matches!(nowhere.write(&anchor), Err(CheckpointFileError::NotWritten(..))));
    }
}
