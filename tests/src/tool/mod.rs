//! Common code of the command-line tools: both services, the stop signal, traces, and the screen.

mod interrupt;
pub mod machine;
mod screen;
mod services;
mod table;
mod trace;

pub use self::{
    interrupt::{INTERRUPTED, Interrupt},
    screen::{Screen, describe_status, millis, say},
    services::{Given, Services, StartError, wait_until_serving},
    table::{Align, Table},
    trace::Trace,
};
