//! The published service config matches the contract.

use std::{collections::BTreeSet, fs, path::PathBuf};

use prost::Message as _;
use prost_types::FileDescriptorSet;
use serde_json::Value;
use teppan_shared::contract;

pub fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../proto/service_config.json")
}

#[test]
fn the_service_config_names_every_service_of_the_contract_and_nothing_else() {
    let config: Value = serde_json::from_slice(&fs::read(path()).expect("the service config exists")).expect("JSON");
    let files = FileDescriptorSet::decode(contract::DESCRIPTORS).expect("descriptors").file;
    let (mut services, mut methods) = (BTreeSet::new(), BTreeSet::new());
    for file in &files {
        for service in &file.service {
            let name = format!("{}.{}", file.package(), service.name());
            methods.extend(service.method.iter().map(|method| format!("{name}/{}", method.name())));
            services.insert(name);
        }
    }
    let list = |value: &Value| value.as_array().cloned().expect("a list");
    let mut named = BTreeSet::new();
    for name in list(&config["methodConfig"]).iter().flat_map(|method| list(&method["name"])) {
        let service = name["service"].as_str().expect("a service");
        match name["method"].as_str() {
            Some(method) => assert!(methods.contains(&format!("{service}/{method}")), "there is no {service}/{method}"),
            None => assert!(named.insert(service.to_owned()), "{service} is named twice"),
        }
    }
    assert_eq!(named, services);
}
