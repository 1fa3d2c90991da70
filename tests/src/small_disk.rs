//! A small disk that a test fills.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

/// A small file system in memory. Dropping it unmounts it.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts a file system of this size.
    ///
    /// Returns `None` and prints a line if this process may not mount a file system.
    pub fn of(megabytes: u32) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("teppan-disk-").tempdir().expect("a folder").keep();
        let size = format!("size={megabytes}m,mode=0755");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&folder).output();
        let disk = Self(folder);
        match mounted {
            Ok(output) if output.status.success() => Some(disk),
            failed => {
                println!("SKIPPED: a file system cannot be mounted here: {failed:?}");
                None
            }
        }
    }

    pub fn folder(&self) -> &Path {
        &self.0
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Fills the file system to the last byte.
    pub fn fill(&self) {
        let mut file = fs::File::create(self.filler()).expect("a file");
        for size in [1 << 20, 4096, 1] {
            let piece = vec![0; size];
            while file.write_all(&piece).is_ok() {}
        }
    }

    pub fn free_space(&self) {
        fs::remove_file(self.filler()).expect("the file is there");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
        let _ = fs::remove_dir(&self.0);
    }
}
