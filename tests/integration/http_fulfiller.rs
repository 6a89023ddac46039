//! The fulfiller over HTTP against real sockets: what it sends, how it reads answers, and what it does when there is
//! none.

mod answers;
mod breaker;
mod hostile;
mod limits;
pub(crate) mod peer;
mod polling;
mod reload;
mod requests;
mod rig;
mod tls;
mod warehouse;
mod wire;
