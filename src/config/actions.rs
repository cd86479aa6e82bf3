//! How handlers of actions are called.

use ipnet::IpNet;

use super::setting::section;
use super::value::ByteSize;

section! {
    /// How handlers of actions are called.
    ActionsConfig "Actions" "actions." {
        /// The largest answer of a handler.
        max_response: ByteSize = "8MiB";
        /// Networks that no handler may be in, whatever name leads there. The default holds link-local
        /// addresses, behind which clouds keep credentials of machines. To keep handlers out of your own
        /// network, add its ranges, such as `10.0.0.0/8`.
        deny_networks: Vec<IpNet> = "169.254.0.0/16,fe80::/10,fd00:ec2::254/128";
    }
}
