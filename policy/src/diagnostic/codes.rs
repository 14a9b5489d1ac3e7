//! Every code of this crate. A code is never used again for something else; gaps stay gaps.

macro_rules! codes {
    ($($name:ident $code:literal $what:literal,)*) => {
        $(
            #[doc = $what]
            pub const $name: &str = $code;
        )*

        /// Every code with what it stands for, in order.
        pub const ALL: &[(&str, &str)] = &[$(($code, $what),)*];
    };
}

codes! {
    SYNTAX "SG0001" "the text is not YAML",
    TOO_LARGE "SG0002" "the file has too many bytes or values",
    HIDDEN_CHARACTER "SG0003" "a byte order mark, control or bidirectional character",
    TAG "SG0004" "a YAML tag",
    ANCHOR "SG0005" "a YAML anchor or alias",
    MERGE_KEY "SG0006" "a YAML merge key",
    SECOND_DOCUMENT "SG0007" "more than one document in a file",
    DUPLICATE_KEY "SG0008" "a key stands twice in one map",
    NULL "SG0009" "a value or a key is missing",
    UNKNOWN_KEY "SG0010" "a key that nobody knows",
    MISSING_KEY "SG0011" "a key that must stand is missing",
    WRONG_SHAPE "SG0012" "a list where a text is expected, and the like",
    EMPTY_LIST "SG0013" "an empty list",
    EMPTY_FILE "SG0014" "nothing in the file",
    TOO_DEEP "SG0015" "maps and lists nested too deep",

    NO_FILES "SG0101" "no policy file at all",
    VERSION "SG0102" "a version that this program does not know",
    BAD_NAME "SG0103" "a name of an agent, credential or rule in a form that is not allowed",
    DEFINED_TWICE "SG0104" "an agent, credential or rule is defined twice",
    UNKNOWN_AGENT "SG0105" "an agent that is not defined",
    UNKNOWN_CREDENTIAL "SG0106" "a credential that is not defined",
    TOO_MANY "SG0107" "too many agents, credentials or rules",
    REPEATED "SG0108" "an entry stands twice in one list",
    BAD_CHOICE "SG0109" "not one of the values that may stand here",

    BAD_SOURCE "SG0110" "not a network",
    HOST_BITS "SG0111" "a network with host bits",
    OVERLAP "SG0112" "one address belongs to two agents",
    WIDE_SOURCE "SG0113" "a network that holds every address",

    BAD_LIMIT "SG0114" "a limit of 0, or one that nothing could reach",

    BAD_POD "SG0115" "not what a pod could have",
    POD_OVERLAP "SG0116" "pods that belong to two agents",

    BAD_STUB "SG0120" "a stub in a form that is not allowed",
    STUB_CLASH "SG0121" "one stub is part of another",
    STUB_SHARED "SG0122" "two credentials with one stub are granted to one agent",
    BAD_SLOT "SG0123" "not a slot",
    BAD_SECRET_SOURCE "SG0124" "not a place that a secret can be read from",
    BAD_ADDRESS "SG0125" "not the https address of a server of secrets",
    BAD_TIME "SG0126" "a time that is too short or too long",
    BAD_PROVIDER "SG0127" "not a provider of logins",
    LOGIN_SHARED "SG0128" "two credentials with one login",
    MINTED_KEY "SG0129" "a private key from a source that mints",

    BAD_HOST "SG0130" "not a host",
    BAD_WILDCARD "SG0131" "a wildcard that stands for something else than whole labels in front",
    PUBLIC_SUFFIX "SG0132" "a wildcard under a public suffix",
    BAD_PORT "SG0133" "not a port",
    BAD_SCHEME "SG0134" "a scheme that may not stand here",
    BAD_ANY "SG0135" "`any` where it may not stand",
    RESERVED_HOST "SG0136" "a host that stubgate answers for by itself",
    BAD_CHECK "SG0137" "not a request with which a credential may be tried",

    BAD_METHOD "SG0140" "not a method",
    DEAD_METHOD "SG0141" "a method that no rule matches",

    BAD_PATH "SG0150" "not a path pattern",
    BAD_POINTER "SG0151" "not a JSON pointer",
    BAD_SIZE "SG0152" "a number of bytes that no rule may hold",
    BAD_FIELD "SG0153" "not a GraphQL field",
    BODY_ON_DENY "SG0154" "a deny rule that looks into bodies",
    BODY_DEMANDS_NOTHING "SG0155" "a rule that looks into bodies and demands nothing",

    PLAIN_CREDENTIAL "SG0160" "a credential on a plain http host",
    USELESS_GRANT "SG0161" "a credential that is bound to none of the rule's hosts",
    GRANT_ON_DENY "SG0162" "a deny rule that grants or relaxes something",
    CONTRADICTION "SG0163" "options that can't be fulfilled together",

    BAD_TYPE "SG0170" "not a record type that may be forwarded",

    GRANTS_NOTHING "SG0180" "a policy that allows nothing",

    UNKNOWN_PRESET "SG0190" "a preset, or a version of one, that does not exist",
    UNKNOWN_PARAMETER "SG0191" "a parameter or credential that the preset does not have",
    MISSING_PARAMETER "SG0192" "a parameter or credential that the preset needs",
    BAD_PARAMETER "SG0193" "a value that does not fit the place that the preset has for it",
    COVERED "SG0201" "a rule that another rule already covers",
    NEVER_MATCHES "SG0202" "a rule that can never allow anything",
    HIDDEN_RULE "SG0203" "a deny rule that hides an allow rule wholly",
    UNUSED_CREDENTIAL "SG0204" "a credential that no rule grants",
    WIDE_WILDCARD "SG0205" "a wildcard wider than the hosts of the credential that its rule grants",
    UNUSED_AGENT "SG0206" "an agent that no rule allows anything",
    LOOKALIKE "SG0207" "a host that can be taken for another",
    WRITES_FOR_ALL "SG0208" "methods that write, for every agent",
    PLAIN_HTTP "SG0209" "a host that is reached over plain HTTP",
    OTHER_NAMES "SG0210" "a deny rule for some paths under a rule that allows more",
    PUBLISHES "SG0211" "a credential with which an agent can publish, or make credentials",
    MISTYPED_METHOD "SG0212" "a method that nobody knows, one letter from one that is known",
    NOT_READ "SG0213" "a file in a policy folder that is not read",
    SHARED_STUB "SG0214" "a literal stub with which several agents may write",
    NO_BODY "SG0220" "a rule that looks into bodies, for methods that have none",
    NOT_LOOKED_AT "SG0221" "a rule that looks into bodies, beside one that lets the same requests pass without a look",
    NO_SUCH_POD "SG0222" "a selector that fits no pod of the cluster",
    POD_OF_TWO "SG0223" "a pod of the cluster that is two agents",
    POD_ON_HOST "SG0224" "a pod of the cluster that uses the network of its node",
    NO_TESTS "SG0300" "no policy test at all",
    BAD_QUESTION "SG0301" "a request of a policy test that no agent could send",
    BAD_HEADER "SG0302" "a header of a policy test that no request could have",
    UNKNOWN_RULE "SG0303" "a rule that is not defined",
    UNKNOWN_REASON "SG0304" "a word that is no reason of a refusal",
    BAD_EXPECTATION "SG0305" "a policy test that no decision could pass",
    TEST_TWICE "SG0306" "two policy tests of one name in a file",
}

#[cfg(test)]
mod tests {
    #[test]
    fn codes_are_unique_and_in_order() {
        let codes: Vec<&str> = super::ALL.iter().map(|(code, _)| *code).collect();
        assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
    }
}
