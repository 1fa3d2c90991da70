//! Answers that repeat those of earlier calls.

use tonic::Response;

/// In the extensions of an answer: it is that of an earlier call with the same key or id.
#[derive(Debug, Clone, Copy)]
pub(super) struct Replay;

/// The answer of a call that may repeat an earlier one. Repetitions are counted.
pub fn answer<T>(message: T, replayed: bool) -> Response<T> {
    let mut response = Response::new(message);
    if replayed {
        response.extensions_mut().insert(Replay);
    }
    response
}
