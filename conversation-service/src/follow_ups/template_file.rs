//! The file with the texts of follow-ups. It is read again when it changes.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use super::{Templates, templates::BUILT_IN};

/// The templates in use. Clones share them.
#[derive(Debug, Clone)]
pub struct TemplateFile {
    /// `None` for the built-in templates.
    path: Option<PathBuf>,
    current: Arc<Mutex<Current>>,
}

#[derive(Debug)]
struct Current {
    templates: Arc<Templates>,
    /// The file's version when it was last read.
    version: Option<Version>,
}

/// The modification time and the length. Two changes within one tick of the file system usually differ in length.
type Version = (SystemTime, u64);

impl TemplateFile {
    /// The built-in templates.
    #[expect(clippy::missing_panics_doc, reason = "a test reads them")]
    pub fn built_in() -> Self {
        let templates = Templates::parse(BUILT_IN).expect("the built-in templates are sound");
        Self { path: None, current: Arc::new(Mutex::new(Current { templates: Arc::new(templates), version: None })) }
    }

    /// # Errors
    /// All faults of the file.
    pub fn open(path: PathBuf) -> Result<Self, Vec<String>> {
        let version = version(&path);
        let templates = Arc::new(read(&path)?);
        Ok(Self { path: Some(path), current: Arc::new(Mutex::new(Current { templates, version })) })
    }

    /// The current templates of the file. An invalid or missing file is logged once, and the last valid templates stay
    /// in use.
    pub fn templates(&self) -> Arc<Templates> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &self.path {
            let version = version(path);
            if version != current.version {
                current.version = version;
                match read(path) {
                    Ok(templates) => {
                        current.templates = Arc::new(templates);
                        tracing::info!("the changed file FOLLOW_UP_TEMPLATES is in use");
                    }
                    Err(faults) => {
                        let faults = faults.join("; ");
                        tracing::error!(
                            faults,
                            "the changed file FOLLOW_UP_TEMPLATES is invalid; the former templates stay in use"
                        );
                    }
                }
            }
        }
        Arc::clone(&current.templates)
    }
}

fn version(path: &Path) -> Option<Version> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn read(path: &Path) -> Result<Templates, Vec<String>> {
    let text = fs::read_to_string(path).map_err(|error| vec![format!("cannot be read: {}", error.kind())])?;
    Templates::parse(&text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::follow_ups::{FollowUpTrigger, Mood};

    fn render(file: &TemplateFile) -> String {
        let text = file.templates().render(FollowUpTrigger::Reengagement, Mood::Warm, &BTreeMap::new());
        text.expect("a text").into_string()
    }

    #[test]
    fn a_changed_file_is_used_and_an_invalid_one_is_not() {
        let folder = std::env::temp_dir().join(format!("teppan-templates-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("follow_ups.toml");
        fs::write(&path, BUILT_IN).expect("written");
        let file = TemplateFile::open(path.clone()).expect("sound");
        let first = render(&file);
        for broken in ["", "[reengagement]\nwarm = ['Hello']"] {
            fs::write(&path, broken).expect("written");
            assert_eq!(render(&file), first);
        }
        fs::write(&path, BUILT_IN.replace(&first, "Hello!")).expect("written");
        assert_eq!(render(&file), "Hello!");
        fs::remove_dir_all(&folder).expect("removed");
        assert_eq!(render(&file), "Hello!");
        assert!(TemplateFile::open(path).is_err());
    }
}
