//! The lines that depend on the folders of tools and data.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use teppan_shared::shell::quoted;
use teppan_tests::launch;

/// Adds the installed grpcurl to the PATH of a shell, if set-up has installed it.
pub fn path_line() -> Option<String> {
    let tools = home().join("tools/bin");
    tools.join("grpcurl").is_file().then(|| format!(r#"export PATH={}:"$PATH""#, quoted(&tools)))
}

/// The NATS subscription, if NATS is set up. The URL may contain a password, so it is not shown.
pub fn nats_line() -> Option<(&'static str, String)> {
    is_set("NATS_URL").then(|| {
        (
            "The events on NATS as they are published: needs the nats command, which set-up does not install, and NATS_URL",
            "nats subscribe 'teppan.>'".to_owned(),
        )
    })
}

/// Lines for booking-service's database on the running private PostgreSQL, and for its audit. The password goes from
/// its file into the environment, so that no process list shows it.
pub fn database_lines() -> Vec<(&'static str, String)> {
    let home = home();
    let Some(port) = port(&home) else { return Vec::new() };
    let password = quoted(&home.join("postgres/password"));
    let url = format!(r#""postgres://teppan:$(cat {password})@127.0.0.1:{port}/teppan_booking?sslmode=disable""#);
    // A user with own keys must set them in that terminal too.
    let keys = if is_set("ENCRYPTION_KEYS") {
        String::new()
    } else {
        format!("ENCRYPTION_KEYS_FILE={} ", quoted(&home.join("keys/encryption")))
    };
    let program = quoted(&launch::binary("booking-service"));
    vec![
        (
            "The database of booking-service, if psql is installed; conversation-service has teppan_conversation",
            format!(
                "PGPASSWORD=\"$(cat {password})\" psql 'postgres://teppan@127.0.0.1:{port}/teppan_booking?sslmode=disable' \
                 -c 'SELECT booking_id, status, version, updated_at FROM bookings'"
            ),
        ),
        (
            "The audit: every booking compared with its events",
            format!("DATABASE_URL={url} {keys}{program} verify-events"),
        ),
    ]
}

/// Whether the setting has a value, directly or in a file.
fn is_set(name: &str) -> bool {
    [name.to_owned(), format!("{name}_FILE")].iter().any(|name| env::var_os(name).is_some_and(|set| !set.is_empty()))
}

/// The folder of tools and data, as an absolute path, because the other terminal may be in another folder.
fn home() -> PathBuf {
    let home = env::var_os("TEPPAN_HOME").map_or_else(|| PathBuf::from(".teppan"), PathBuf::from);
    std::path::absolute(&home).unwrap_or(home)
}

/// The port of the running private PostgreSQL, from its pid file.
fn port(home: &Path) -> Option<u16> {
    let file = fs::read_to_string(home.join("postgres/data/postmaster.pid")).ok()?;
    file.lines().nth(3)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_that_of_the_running_server() {
        let home = tempfile::tempdir().expect("a folder");
        assert_eq!(port(home.path()), None);
        let data = home.path().join("postgres/data");
        fs::create_dir_all(&data).expect("a folder");
        fs::write(data.join("postmaster.pid"), "4711\n/data\n1764547200\n54321\n/tmp\n127.0.0.1\n").expect("written");
        assert_eq!(port(home.path()), Some(54_321));
    }
}
