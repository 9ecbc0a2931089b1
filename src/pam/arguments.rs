//! The broker's command line, as it is written. Compiled into the gateway too, which prints its manual page.

use std::path::PathBuf;

use clap::Parser;
use ipnet::IpNet;

const EXAMPLES: &str = "\
Examples:
  doorward-pam --socket /run/doorward-pam/pam.sock --group doorward --allow-uid doorward
      a broker of its own, for a gateway with --pam-socket; see packaging/systemd/doorward-pam.service
  doorward-pam --service doorward --service doorward-account --check

'doorward serve' starts a broker by itself when it is given no --pam-socket.

Exit codes:
   0  it was told to stop and did; --check: all is in order
   2  the command line could not be understood
  71  the system refused something
  78  the options or the service files are wrong; all problems were listed";

/// The PAM broker of Doorward: runs PAM transactions for the gateway, each in a process of its own.
///
/// Takes its listening unix socket on standard input (from `doorward serve`, or systemd with StandardInput=socket),
/// or binds it itself with --socket.
#[derive(Debug, Parser)]
#[command(name = "doorward-pam", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Arguments {
    /// PAM service (file under /etc/pam.d) that the gateway may ask for; may be repeated
    #[arg(long, value_name = "NAME", default_value = "doorward")]
    pub service: Vec<String>,
    /// Service of which only one transaction computes at a time (pam_oath needs it); may be repeated
    #[arg(long, value_name = "NAME")]
    pub serialize: Vec<String>,
    /// User that may connect, besides root and the broker's own; may be repeated
    #[arg(long, value_name = "UID|NAME")]
    pub allow_uid: Vec<String>,
    /// Bind this unix socket (mode 0660) instead of taking a listening one on standard input
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Group of the socket that --socket binds
    #[arg(long, value_name = "NAME", requires = "socket")]
    pub group: Option<String>,
    /// Most logins at once, those that wait for a person included
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub max_children: usize,
    /// Most account checks at once, besides the logins
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub max_checks: usize,
    /// Most logins at once of one client address (IPv6: of one /64)
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub max_per_address: usize,
    /// Network of addresses that many clients share (a load balancer, an exempt office), which --max-per-address does not
    /// take for one; may be repeated
    #[arg(long, value_name = "CIDR")]
    pub shared_network: Vec<IpNet>,
    /// Most transactions that use CPU at once [default: number of cores]
    #[arg(long, value_name = "N")]
    pub max_computing: Option<usize>,
    /// Longest that modules may run between two prompts
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub compute_seconds: u32,
    /// Longest wait for the answer to a prompt
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub prompt_seconds: u32,
    /// Longest whole transaction
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub login_seconds: u32,
    /// Variable of the PAM environment that is handed to the gateway; may be repeated [default: none]
    #[arg(long, value_name = "NAME")]
    pub pass_env: Vec<String>,
    /// Start although a service lets people in who proved nothing; the lines are named all the same
    #[arg(long)]
    pub allow_pam_without_proof: bool,
    /// End when the process that started the broker ends
    #[arg(long)]
    pub die_with_parent: bool,
    /// Check the options and the service files, then exit: 0 in order, 78 not
    #[arg(long)]
    pub check: bool,
}
