//! SPDY/3.1 streams over one connection.
