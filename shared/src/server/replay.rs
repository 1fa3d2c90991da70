//! Marks answers that repeat the answer of an earlier call.

use tonic::Response;

/// In the extensions of an answer: it repeats the answer of an earlier call with the same key or id.
#[derive(Debug, Clone, Copy)]
pub(super) struct Replay;

/// Makes the answer of a call that may repeat an earlier call. Repetitions are counted.
pub fn answer<T>(message: T, replayed: bool) -> Response<T> {
    let mut response = Response::new(message);
    if replayed {
        response.extensions_mut().insert(Replay);
    }
    response
}
