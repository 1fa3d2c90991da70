//! Reads `/metrics` as Prometheus does.

use std::{collections::BTreeMap, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// The media types that Prometheus accepts.
pub const OPEN_METRICS: &str =
    "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";

/// The metrics of one service at one time.
#[derive(Debug, Default)]
pub struct Scrape {
    pub code: u16,
    pub content_type: String,
    pub text: String,
    /// The type of each metric by name. In OpenMetrics a counter's name has no `_total`.
    pub types: BTreeMap<String, String>,
    pub samples: Vec<Sample>,
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
    /// The trace id of the exemplar.
    pub trace_id: Option<String>,
}

impl Scrape {
    /// Reads `/metrics`, accepting these media types.
    pub async fn of(http: SocketAddr, accept: &str) -> Self {
        let mut stream = TcpStream::connect(http).await.expect("HTTP listens");
        let request = format!("GET /metrics HTTP/1.1\r\nHost: test\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        let (head, text) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let header = |line: &str| line.to_ascii_lowercase().strip_prefix("content-type: ").map(str::to_owned);
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
        let content_type = head.lines().find_map(header).unwrap_or_default();
        let is_type = |line: &str| line.strip_prefix("# TYPE ")?.split_once(' ').map(owned);
        Self {
            code,
            content_type,
            types: text.lines().filter_map(is_type).collect(),
            samples: text.lines().filter(|line| code == 200 && !line.starts_with('#')).map(Sample::read).collect(),
            text: text.to_owned(),
        }
    }

    /// The samples with this name and these labels.
    pub fn all<'a>(&'a self, name: &'a str, labels: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = &'a Sample> {
        let fits =
            move |it: &&Sample| labels.iter().all(|(label, value)| it.labels.get(*label).is_some_and(|v| v == value));
        self.samples.iter().filter(move |it| it.name == name).filter(fits)
    }

    /// The sum of [`Scrape::all`]; `None` when there are none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let values: Vec<_> = self.all(name, labels).map(|it| it.value).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

impl Sample {
    /// Reads `name{label="value",…} 1 # {trace_id="…"} 0.5 1.0`. Label values contain no quotation marks.
    fn read(line: &str) -> Self {
        let (sample, exemplar) = line.split_once(" # ").map_or((line, None), |(sample, rest)| (sample, Some(rest)));
        let (series, value) = sample.rsplit_once(' ').expect("a value");
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels = labels.trim_end_matches('}').split("\",").filter_map(|it| it.split_once("=\""));
        Self {
            name: name.to_owned(),
            labels: labels.map(|(name, value)| owned((name, value.trim_end_matches('"')))).collect(),
            value: value.parse().unwrap_or_else(|_| panic!("{line}")),
            trace_id: exemplar.and_then(|it| Some(it.split_once("trace_id=\"")?.1.split_once('"')?.0.to_owned())),
        }
    }
}
