//! The wire between the gateway and the PAM broker: `u32` length (little endian), then postcard.
//!
//! One connection is one transaction. Anything out of order or oversized ends it.
//! Pure: no I/O here. Both binaries compile this file, and only the broker links libpam.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
