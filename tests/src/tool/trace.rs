use rand::Rng as _;
use tonic::{Request, metadata::MetadataValue};

/// A W3C trace of the client. Every call made with it belongs to one trace, which the services continue in their spans,
/// events and outbox.
#[derive(Debug, Clone, Copy)]
pub struct Trace(u128);

impl Trace {
    /// A new trace.
    pub fn start() -> Self {
        // Zero is not a valid id (W3C Trace Context, 3.2.2.3).
        Self(rand::rng().random_range(1..=u128::MAX))
    }

    /// The trace id, as tracing tools show it.
    pub fn id(self) -> String {
        format!("{:032x}", self.0)
    }

    /// The request, with a span of its own in this trace.
    pub fn carry<T>(self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let traceparent = self.traceparent(rand::rng().random_range(1..=u64::MAX));
        let value = MetadataValue::try_from(traceparent).expect("digits and hyphens are a header's value");
        request.metadata_mut().insert("traceparent", value);
        request
    }

    fn traceparent(self, span: u64) -> String {
        format!("00-{:032x}-{span:016x}-01", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_carries_the_trace_and_a_span_of_its_own() {
        let trace = Trace(0x4bf9);
        assert_eq!(trace.traceparent(7), "00-00000000000000000000000000004bf9-0000000000000007-01");
        let of = |request: &Request<()>| request.metadata().get("traceparent").cloned().expect("the header is set");
        let (first, second) = (of(&trace.carry(())), of(&trace.carry(())));
        assert_ne!(first, second);
        assert!(first.to_str().expect("ASCII").contains(&trace.id()));
    }
}
