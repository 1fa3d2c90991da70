//! A JWT issuer for tests: it signs any claims, and serves its key set over HTTP.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

pub const ISSUER: &str = "https://issuer.example";
pub const AUDIENCE: &str = "teppan";

/// A key pair, with its id in the key set.
pub struct SigningKey {
    id: String,
    pair: Pair,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

impl SigningKey {
    pub fn ed25519(id: &str) -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("made");
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a key");
        Self { id: id.to_owned(), pair: Pair::Ed25519(pair) }
    }

    pub fn p256(id: &str) -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("made");
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).expect("a key");
        Self { id: id.to_owned(), pair: Pair::P256(pair) }
    }

    /// The public key, as in key sets.
    pub fn public(&self) -> Value {
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        match &self.pair {
            Pair::Ed25519(pair) => {
                let x = encode(pair.public_key().as_ref());
                json!({"kty": "OKP", "crv": "Ed25519", "kid": self.id, "use": "sig", "x": x})
            }
            Pair::P256(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = (encode(&point[1..33]), encode(&point[33..]));
                json!({"kty": "EC", "crv": "P-256", "kid": self.id, "alg": "ES256", "x": x, "y": y})
            }
        }
    }

    pub fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Ed25519(_) => "EdDSA",
            Pair::P256(_) => "ES256",
        }
    }

    /// A token with these claims.
    pub fn token(&self, claims: &Value) -> String {
        self.token_with(&json!({"alg": self.algorithm(), "typ": "JWT", "kid": self.id}), claims)
    }

    /// A token with this header, which may be wrong.
    pub fn token_with(&self, header: &Value, claims: &Value) -> String {
        let message = [header, claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let signature = match &self.pair {
            Pair::Ed25519(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
            Pair::P256(pair) => pair.sign(&SystemRandom::new(), message.as_bytes()).expect("signed").as_ref().to_vec(),
        };
        format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Claims that are accepted for an hour.
pub fn claims(holder: &str, roles: &[&str]) -> Value {
    let now = now_seconds();
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": holder, "roles": roles, "iat": now, "nbf": now, "exp": now + 3600})
}

/// Accepted claims, with one of them replaced.
pub fn claims_with(name: &str, value: Value) -> Value {
    let mut claims = claims("somebody", &["orchestrator"]);
    claims[name] = value;
    claims
}

pub fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

pub fn key_set(keys: &[&SigningKey]) -> String {
    json!({"keys": keys.iter().map(|key| key.public()).collect::<Vec<_>>()}).to_string()
}

/// Serves a key set.
pub struct KeySetServer {
    pub address: SocketAddr,
    served: Arc<Served>,
    _serving: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Served {
    text: Mutex<String>,
    fails: AtomicBool,
    requests: AtomicUsize,
}

impl KeySetServer {
    pub async fn start(text: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let served = Arc::new(Served { text: Mutex::new(text), ..Served::default() });
        let serving = Arc::clone(&served);
        let task = TaskTracker::new().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = serving.answer(stream).await;
            }
        });
        Self { address, served, _serving: AbortOnDropHandle::new(task) }
    }

    pub fn url(&self) -> String {
        format!("http://{}/keys", self.address)
    }

    /// Serves another key set from now on.
    pub fn serve(&self, text: String) {
        *self.served.text.lock().expect("no panic") = text;
    }

    /// Answers 503 from now on, or answers normally again.
    pub fn fail(&self, fails: bool) {
        self.served.fails.store(fails, SeqCst);
    }

    pub fn requests(&self) -> usize {
        self.served.requests.load(SeqCst)
    }
}

impl Served {
    async fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        self.requests.fetch_add(1, SeqCst);
        let text = self.text.lock().expect("no panic").clone();
        let status = if self.fails.load(SeqCst) { "503 Service Unavailable" } else { "200 OK" };
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", text.len());
        stream.write_all((head + &text).as_bytes()).await
    }
}
