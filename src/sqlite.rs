//! Stub: the embedded database, one writer thread with group commit, shared by `queue::sqlite` and `store::sqlite`.
