# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_stubgate_global_optspecs
    string join \n h/help V/version
end

function __fish_stubgate_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_stubgate_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_stubgate_using_subcommand
    set -l cmd (__fish_stubgate_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c stubgate -n "__fish_stubgate_needs_command" -s h -l help -d 'Print help'
complete -c stubgate -n "__fish_stubgate_needs_command" -s V -l version -d 'Print version'
complete -c stubgate -n "__fish_stubgate_needs_command" -f -a "demo" -d 'Show the main job on loopback; nothing to configure, no root, no network'
complete -c stubgate -n "__fish_stubgate_needs_command" -f -a "run" -d 'Run the appliance'
complete -c stubgate -n "__fish_stubgate_needs_command" -f -a "policy" -d 'Work on policy files'
complete -c stubgate -n "__fish_stubgate_needs_command" -f -a "config" -d 'Work on the appliance\'s configuration'
complete -c stubgate -n "__fish_stubgate_needs_command" -f -a "ca" -d 'Work on the certificate authority that agents must trust'
complete -c stubgate -n "__fish_stubgate_needs_command" -f -a "login" -d 'Put an OAuth login in escrow, so that stubgate alone holds and refreshes it'
complete -c stubgate -n "__fish_stubgate_needs_command" -f -a "stub" -d 'Make stubs that one agent can use and nobody else, and call them back'
complete -c stubgate -n "__fish_stubgate_needs_command" -f -a "audit" -d 'Read audit records'
complete -c stubgate -n "__fish_stubgate_needs_command" -f -a "credential" -d 'Say how credentials stand, and try one'
complete -c stubgate -n "__fish_stubgate_needs_command" -f -a "nft" -d 'Print nftables rules that leave the containers of a bridge no way but stubgate'
complete -c stubgate -n "__fish_stubgate_needs_command" -f -a "attack" -d 'Try the ways out of the container that this runs in, and say which are open'
complete -c stubgate -n "__fish_stubgate_needs_command" -f -a "doctor" -d 'Say what of the appliance\'s set-up works and what does not: files, kernel, resolvers, hosts, clock, listeners'
complete -c stubgate -n "__fish_stubgate_needs_command" -f -a "support-bundle" -d 'Gather what somebody elsewhere needs to see what is wrong, without a secret'
complete -c stubgate -n "__fish_stubgate_needs_command" -f -a "sandbox" -d 'Run a command that reaches nothing but what policy allows'
complete -c stubgate -n "__fish_stubgate_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c stubgate -n "__fish_stubgate_using_subcommand demo" -s h -l help -d 'Print help'
complete -c stubgate -n "__fish_stubgate_using_subcommand run" -l config -d 'Configuration of the appliance, YAML' -r -F
complete -c stubgate -n "__fish_stubgate_using_subcommand run" -s h -l help -d 'Print help'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and not __fish_seen_subcommand_from check test explain diff import suggest preset schema help" -s h -l help -d 'Print help'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and not __fish_seen_subcommand_from check test explain diff import suggest preset schema help" -f -a "check" -d 'Check policy files: every error at once, with its place and what to write instead'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and not __fish_seen_subcommand_from check test explain diff import suggest preset schema help" -f -a "test" -d 'Run the tests of a policy, and name the rules that none of them reaches'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and not __fish_seen_subcommand_from check test explain diff import suggest preset schema help" -f -a "explain" -d 'Explain the decision on one request: each phase, and each rule and why it does not fit'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and not __fish_seen_subcommand_from check test explain diff import suggest preset schema help" -f -a "diff" -d 'Compare two policies by meaning: what agents newly can do, and what they no longer can'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and not __fish_seen_subcommand_from check test explain diff import suggest preset schema help" -f -a "import" -d 'Translate another proxy\'s configuration, and say what could not be'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and not __fish_seen_subcommand_from check test explain diff import suggest preset schema help" -f -a "suggest" -d 'Suggest the narrowest rules for what was denied, from audit records, as YAML to review'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and not __fish_seen_subcommand_from check test explain diff import suggest preset schema help" -f -a "preset" -d 'Look at the rule files that a policy can include, and find the hosts for the one of packages'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and not __fish_seen_subcommand_from check test explain diff import suggest preset schema help" -f -a "schema" -d 'Print the JSON Schema of a file format, for editors'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and not __fish_seen_subcommand_from check test explain diff import suggest preset schema help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from check" -l cluster -d 'Also look at the `pods:` of agents beside the pods of a cluster, which is asked as kubectl would; or beside those of a file (`-` is standard input) with the output of `kubectl get pods --all-namespaces --output json`' -r -F
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from check" -l format -d 'How to write what is found: for people on standard error, the others on standard output' -r -f -a "human\t'Source lines with what is wrong underlined'
json\t'One object with places, for scripts'
sarif\t'SARIF 2.1.0, for code hosting'"
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from check" -l allow -d 'Leave out warnings with this code, such as SG0208; may be given more than once' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from check" -l deny-warnings -d 'End with 1 if there are warnings'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from test" -l tests -d 'A file or folder of tests, instead of those beside the policy; may be given more than once' -r -F
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from test" -l format -d 'How to write the results' -r -f -a "human\t''
junit\t''
json\t''"
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from test" -l min-coverage -d 'Fail if fewer rules are reached and credentials swapped, of all, in percent' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from test" -s q -l quiet -d 'Tell failures and sums only'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from test" -s h -l help -d 'Print help'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from explain" -l agent -d 'Who asks, by name' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from explain" -l peer -d 'Who asks, by address' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from explain" -l pod -d 'Who asks, by the pod that it runs in: its namespace, its service account, and its labels, such as agents/devbot,app=devbot,tier=dev' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from explain" -s H -l header -d 'A header of the request; what stands in credential places is found as in a real one' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from explain" -l body -d 'A file that holds the body of the request' -r -F
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from explain" -s d -l data -d 'The body of the request; its Content-Type is application/json unless a header says it' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from explain" -l format -d 'How to write it' -r -f -a "human\t''
json\t''"
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from explain" -s h -l help -d 'Print help'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from diff" -l old -d 'One more file or folder of the old policy' -r -F
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from diff" -l new -d 'One more file or folder of the new policy' -r -F
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from diff" -l format -d 'How to write what differs; markdown is for the comment on a change' -r -f -a "human\t''
json\t''
markdown\t''"
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from diff" -s h -l help -d 'Print help'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from import" -s h -l help -d 'Print help'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from import" -f -a "iron-proxy" -d 'iron-proxy\'s YAML: domains, CIDRs, rules, and secrets with replace and inject'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from import" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from suggest" -l from -d 'An audit file, JSON lines; `-` is standard input; may be given more than once' -r -F
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from suggest" -l since -d 'Leave out records of before: 2026-11-20, 2026-11-20T08:00:00Z (UTC), or an age: 30m, 24h, 7d' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from suggest" -l agent -d 'Leave out all agents but this one' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from suggest" -s h -l help -d 'Print help'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from preset" -s h -l help -d 'Print help'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from preset" -f -a "list" -d 'List the presets, each with what it lets an agent do'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from preset" -f -a "show" -d 'Show one: what it lets an agent do, what it must be given, its rules'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from preset" -f -a "packages" -d 'Show the preset for package registries, or the include block for this machine\'s'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from preset" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from schema" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "check" -d 'Check policy files: every error at once, with its place and what to write instead'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "test" -d 'Run the tests of a policy, and name the rules that none of them reaches'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "explain" -d 'Explain the decision on one request: each phase, and each rule and why it does not fit'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "diff" -d 'Compare two policies by meaning: what agents newly can do, and what they no longer can'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "import" -d 'Translate another proxy\'s configuration, and say what could not be'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "suggest" -d 'Suggest the narrowest rules for what was denied, from audit records, as YAML to review'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "preset" -d 'Look at the rule files that a policy can include, and find the hosts for the one of packages'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "schema" -d 'Print the JSON Schema of a file format, for editors'
complete -c stubgate -n "__fish_stubgate_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c stubgate -n "__fish_stubgate_using_subcommand config; and not __fish_seen_subcommand_from check help" -s h -l help -d 'Print help'
complete -c stubgate -n "__fish_stubgate_using_subcommand config; and not __fish_seen_subcommand_from check help" -f -a "check" -d 'Check a stubgate.yaml: every error at once, with its place and what to write instead'
complete -c stubgate -n "__fish_stubgate_using_subcommand config; and not __fish_seen_subcommand_from check help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c stubgate -n "__fish_stubgate_using_subcommand config; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help'
complete -c stubgate -n "__fish_stubgate_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "check" -d 'Check a stubgate.yaml: every error at once, with its place and what to write instead'
complete -c stubgate -n "__fish_stubgate_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c stubgate -n "__fish_stubgate_using_subcommand ca; and not __fish_seen_subcommand_from init show bundle rotate help" -s h -l help -d 'Print help'
complete -c stubgate -n "__fish_stubgate_using_subcommand ca; and not __fish_seen_subcommand_from init show bundle rotate help" -f -a "init" -d 'Make the certificate authority, if there is none yet'
complete -c stubgate -n "__fish_stubgate_using_subcommand ca; and not __fish_seen_subcommand_from init show bundle rotate help" -f -a "show" -d 'Show its fingerprint, when it ends, and how a rotation stands'
complete -c stubgate -n "__fish_stubgate_using_subcommand ca; and not __fish_seen_subcommand_from init show bundle rotate help" -f -a "bundle" -d 'Print the certificates that an agent must trust, PEM'
complete -c stubgate -n "__fish_stubgate_using_subcommand ca; and not __fish_seen_subcommand_from init show bundle rotate help" -f -a "rotate" -d 'Have a new authority take the place of the one that signs, without any agent noticing'
complete -c stubgate -n "__fish_stubgate_using_subcommand ca; and not __fish_seen_subcommand_from init show bundle rotate help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c stubgate -n "__fish_stubgate_using_subcommand ca; and __fish_seen_subcommand_from init" -l config -d 'The appliance\'s configuration, which says where the authority is' -r -F
complete -c stubgate -n "__fish_stubgate_using_subcommand ca; and __fish_seen_subcommand_from init" -l state-dir -d 'The appliance\'s state folder' -r -F
complete -c stubgate -n "__fish_stubgate_using_subcommand ca; and __fish_seen_subcommand_from init" -s h -l help -d 'Print help'
complete -c stubgate -n "__fish_stubgate_using_subcommand ca; and __fish_seen_subcommand_from show" -l config -d 'The appliance\'s configuration, which says where the authority is' -r -F
complete -c stubgate -n "__fish_stubgate_using_subcommand ca; and __fish_seen_subcommand_from show" -l state-dir -d 'The appliance\'s state folder' -r -F
complete -c stubgate -n "__fish_stubgate_using_subcommand ca; and __fish_seen_subcommand_from show" -l format -d 'How it is shown' -r -f -a "human\t'For people'
json\t'For programs'"
complete -c stubgate -n "__fish_stubgate_using_subcommand ca; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c stubgate -n "__fish_stubgate_using_subcommand ca; and __fish_seen_subcommand_from bundle" -l config -d 'The appliance\'s configuration, which says where the authority is' -r -F
complete -c stubgate -n "__fish_stubgate_using_subcommand ca; and __fish_seen_subcommand_from bundle" -l state-dir -d 'The appliance\'s state folder' -r -F
complete -c stubgate -n "__fish_stubgate_using_subcommand ca; and __fish_seen_subcommand_from bundle" -l only-own -d 'Leave the system\'s own certificates out'
complete -c stubgate -n "__fish_stubgate_using_subcommand ca; and __fish_seen_subcommand_from bundle" -s h -l help -d 'Print help'
complete -c stubgate -n "__fish_stubgate_using_subcommand ca; and __fish_seen_subcommand_from rotate" -l config -d 'The appliance\'s configuration, which says where the authority is' -r -F
complete -c stubgate -n "__fish_stubgate_using_subcommand ca; and __fish_seen_subcommand_from rotate" -l state-dir -d 'The appliance\'s state folder' -r -F
complete -c stubgate -n "__fish_stubgate_using_subcommand ca; and __fish_seen_subcommand_from rotate" -l deadline -d 'The new one signs after this, also if agents were not seen with it; 24h unless the configuration says otherwise' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand ca; and __fish_seen_subcommand_from rotate" -l at-least -d 'The new one signs no earlier than this; 15m unless the configuration says otherwise' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand ca; and __fish_seen_subcommand_from rotate" -l finish -d 'End a rotation that is under way: the new one signs at once, the old one leaves the bundle'
complete -c stubgate -n "__fish_stubgate_using_subcommand ca; and __fish_seen_subcommand_from rotate" -s h -l help -d 'Print help'
complete -c stubgate -n "__fish_stubgate_using_subcommand ca; and __fish_seen_subcommand_from help" -f -a "init" -d 'Make the certificate authority, if there is none yet'
complete -c stubgate -n "__fish_stubgate_using_subcommand ca; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show its fingerprint, when it ends, and how a rotation stands'
complete -c stubgate -n "__fish_stubgate_using_subcommand ca; and __fish_seen_subcommand_from help" -f -a "bundle" -d 'Print the certificates that an agent must trust, PEM'
complete -c stubgate -n "__fish_stubgate_using_subcommand ca; and __fish_seen_subcommand_from help" -f -a "rotate" -d 'Have a new authority take the place of the one that signs, without any agent noticing'
complete -c stubgate -n "__fish_stubgate_using_subcommand ca; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c stubgate -n "__fish_stubgate_using_subcommand login" -l name -d 'The login\'s name in escrow; by default the one that the policy\'s credential of this provider names' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand login" -l config -d 'Configuration of the appliance, which says where logins are kept' -r -F
complete -c stubgate -n "__fish_stubgate_using_subcommand login" -l import -d 'Take the login from a .credentials.json of Claude Code instead (of claude alone)' -r -F
complete -c stubgate -n "__fish_stubgate_using_subcommand login" -s h -l help -d 'Print help'
complete -c stubgate -n "__fish_stubgate_using_subcommand stub; and not __fish_seen_subcommand_from mint revoke show help" -s h -l help -d 'Print help'
complete -c stubgate -n "__fish_stubgate_using_subcommand stub; and not __fish_seen_subcommand_from mint revoke show help" -f -a "mint" -d 'Print a stub that one agent can use for one credential, and nobody else'
complete -c stubgate -n "__fish_stubgate_using_subcommand stub; and not __fish_seen_subcommand_from mint revoke show help" -f -a "revoke" -d 'Call a stub back; the appliance refuses it within a second'
complete -c stubgate -n "__fish_stubgate_using_subcommand stub; and not __fish_seen_subcommand_from mint revoke show help" -f -a "show" -d 'Say what a stub is for, when it ends, and whether it is good'
complete -c stubgate -n "__fish_stubgate_using_subcommand stub; and not __fish_seen_subcommand_from mint revoke show help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c stubgate -n "__fish_stubgate_using_subcommand stub; and __fish_seen_subcommand_from mint" -l config -d 'Configuration of the appliance, which says where key and policy are' -r -F
complete -c stubgate -n "__fish_stubgate_using_subcommand stub; and __fish_seen_subcommand_from mint" -l agent -d 'Whom it is for, as policy names it' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand stub; and __fish_seen_subcommand_from mint" -l credential -d 'What it stands for, as policy names it' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand stub; and __fish_seen_subcommand_from mint" -l ttl -d 'How long it is good: hours or days, such as 12h or 30d; it ends with a whole hour' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand stub; and __fish_seen_subcommand_from mint" -l shape -d 'What it looks like, for clients that check the shape of a token' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand stub; and __fish_seen_subcommand_from mint" -s h -l help -d 'Print help'
complete -c stubgate -n "__fish_stubgate_using_subcommand stub; and __fish_seen_subcommand_from revoke" -l config -d 'Configuration of the appliance, which says where key and policy are' -r -F
complete -c stubgate -n "__fish_stubgate_using_subcommand stub; and __fish_seen_subcommand_from revoke" -s h -l help -d 'Print help'
complete -c stubgate -n "__fish_stubgate_using_subcommand stub; and __fish_seen_subcommand_from show" -l config -d 'Configuration of the appliance, which says where key and policy are' -r -F
complete -c stubgate -n "__fish_stubgate_using_subcommand stub; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c stubgate -n "__fish_stubgate_using_subcommand stub; and __fish_seen_subcommand_from help" -f -a "mint" -d 'Print a stub that one agent can use for one credential, and nobody else'
complete -c stubgate -n "__fish_stubgate_using_subcommand stub; and __fish_seen_subcommand_from help" -f -a "revoke" -d 'Call a stub back; the appliance refuses it within a second'
complete -c stubgate -n "__fish_stubgate_using_subcommand stub; and __fish_seen_subcommand_from help" -f -a "show" -d 'Say what a stub is for, when it ends, and whether it is good'
complete -c stubgate -n "__fish_stubgate_using_subcommand stub; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c stubgate -n "__fish_stubgate_using_subcommand audit; and not __fish_seen_subcommand_from query help" -s h -l help -d 'Print help'
complete -c stubgate -n "__fish_stubgate_using_subcommand audit; and not __fish_seen_subcommand_from query help" -f -a "query" -d 'Say who did what when, with which value of which credential'
complete -c stubgate -n "__fish_stubgate_using_subcommand audit; and not __fish_seen_subcommand_from query help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c stubgate -n "__fish_stubgate_using_subcommand audit; and __fish_seen_subcommand_from query" -l config -d 'Configuration of the appliance: the first file of its `audit`, and what was rotated beside it' -r -F
complete -c stubgate -n "__fish_stubgate_using_subcommand audit; and __fish_seen_subcommand_from query" -l credential -d 'What was done with this credential, refused to its stubs, or happened to its value' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand audit; and __fish_seen_subcommand_from query" -l credential-version -d 'With this value of a credential: 16 hexadecimal digits, as records name it' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand audit; and __fish_seen_subcommand_from query" -l value-file -d 'With the value of a credential that stands in this file, `-` for standard input: one that leaked, say' -r -F
complete -c stubgate -n "__fish_stubgate_using_subcommand audit; and __fish_seen_subcommand_from query" -l agent -d 'By this agent' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand audit; and __fish_seen_subcommand_from query" -l rule -d 'By this rule' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand audit; and __fish_seen_subcommand_from query" -l host -d 'To this host, with or without its port' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand audit; and __fish_seen_subcommand_from query" -l outcome -d 'That ended so: complete, aborted, cut, unknown, begun, refused, answered, taken, …' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand audit; and __fish_seen_subcommand_from query" -l reason -d 'Refused for this reason' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand audit; and __fish_seen_subcommand_from query" -l id -d 'With this id, as the agent was told it' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand audit; and __fish_seen_subcommand_from query" -l since -d 'Not before: 2026-11-20, 2026-11-20T08:00:00Z (UTC), or an age: 30m, 24h, 7d' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand audit; and __fish_seen_subcommand_from query" -l until -d 'Before; the same forms' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand audit; and __fish_seen_subcommand_from query" -l json -d 'Print the records that match as they are, one a line'
complete -c stubgate -n "__fish_stubgate_using_subcommand audit; and __fish_seen_subcommand_from query" -s h -l help -d 'Print help'
complete -c stubgate -n "__fish_stubgate_using_subcommand audit; and __fish_seen_subcommand_from help" -f -a "query" -d 'Say who did what when, with which value of which credential'
complete -c stubgate -n "__fish_stubgate_using_subcommand audit; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c stubgate -n "__fish_stubgate_using_subcommand credential; and not __fish_seen_subcommand_from status test help" -s h -l help -d 'Print help'
complete -c stubgate -n "__fish_stubgate_using_subcommand credential; and not __fish_seen_subcommand_from status test help" -f -a "status" -d 'Say how each credential of the running appliance stands: its state, its end, what failed'
complete -c stubgate -n "__fish_stubgate_using_subcommand credential; and not __fish_seen_subcommand_from status test help" -f -a "test" -d 'Try a credential once where it is known to be taken, and say what the answer means'
complete -c stubgate -n "__fish_stubgate_using_subcommand credential; and not __fish_seen_subcommand_from status test help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c stubgate -n "__fish_stubgate_using_subcommand credential; and __fish_seen_subcommand_from status" -l config -d 'Configuration of the appliance, which says where its admin endpoint is' -r -F
complete -c stubgate -n "__fish_stubgate_using_subcommand credential; and __fish_seen_subcommand_from status" -l admin -d 'The admin endpoint, instead of the configuration\'s' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand credential; and __fish_seen_subcommand_from status" -l json -d 'JSON, as the admin endpoint gives it'
complete -c stubgate -n "__fish_stubgate_using_subcommand credential; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help'
complete -c stubgate -n "__fish_stubgate_using_subcommand credential; and __fish_seen_subcommand_from test" -l config -d 'Configuration of the appliance, which says where policy is and how origins are reached' -r -F
complete -c stubgate -n "__fish_stubgate_using_subcommand credential; and __fish_seen_subcommand_from test" -s h -l help -d 'Print help'
complete -c stubgate -n "__fish_stubgate_using_subcommand credential; and __fish_seen_subcommand_from help" -f -a "status" -d 'Say how each credential of the running appliance stands: its state, its end, what failed'
complete -c stubgate -n "__fish_stubgate_using_subcommand credential; and __fish_seen_subcommand_from help" -f -a "test" -d 'Try a credential once where it is known to be taken, and say what the answer means'
complete -c stubgate -n "__fish_stubgate_using_subcommand credential; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c stubgate -n "__fish_stubgate_using_subcommand nft" -l config -d 'Configuration of the appliance, which says where it listens' -r -F
complete -c stubgate -n "__fish_stubgate_using_subcommand nft" -l bridge -d 'A bridge whose ports are containers; may be given several times' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand nft" -l interface -d 'Any other interface behind which containers are, or a bridge whose ports are kept apart by other means; may be given several times' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand nft" -l subnet -d 'Addresses that the containers may have; what has another one is dropped. May be given several times' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand nft" -l beside -d 'stubgate is itself a container on the bridge, at the addresses of `advertise`'
complete -c stubgate -n "__fish_stubgate_using_subcommand nft" -s h -l help -d 'Print help'
complete -c stubgate -n "__fish_stubgate_using_subcommand attack" -l host -d 'A host that policy allows to this agent; without it the first of some usual ones that the resolver answers' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand attack" -l other-host -d 'Another allowed host, where the stub does not belong' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand attack" -l denied -d 'A host that exists and that policy does not allow' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand attack" -l stub -d 'The agent\'s stub for the host. It is sent to places where it must be refused: never give a real credential' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand attack" -l echo -d 'A path of the host that answers with the request\'s headers, to try reflection' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand attack" -l proxy -d 'The proxy, host:port; without it HTTPS_PROXY and its like' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand attack" -l target -d 'An address outside to try besides the well-known ones; may stand several times' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand attack" -l resolver -d 'A name server outside to try besides the well-known ones; may stand several times' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand attack" -l only -d 'Only probes whose id holds this; may stand several times' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand attack" -l list -d 'Show what would be tried, and try nothing'
complete -c stubgate -n "__fish_stubgate_using_subcommand attack" -l json -d 'JSON instead of a table'
complete -c stubgate -n "__fish_stubgate_using_subcommand attack" -s h -l help -d 'Print help'
complete -c stubgate -n "__fish_stubgate_using_subcommand doctor" -l config -d 'Configuration of the appliance' -r -F
complete -c stubgate -n "__fish_stubgate_using_subcommand doctor" -l format -d 'How to tell' -r -f -a "human\t'A line for each check, and what to do'
json\t'One object: `version`, `ok` and `checks`'"
complete -c stubgate -n "__fish_stubgate_using_subcommand doctor" -l offline -d 'Ask nobody beyond this machine'
complete -c stubgate -n "__fish_stubgate_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c stubgate -n "__fish_stubgate_using_subcommand support-bundle" -l config -d 'Configuration of the appliance' -r -F
complete -c stubgate -n "__fish_stubgate_using_subcommand support-bundle" -s o -l output -d 'The bundle to write; never one that is there already' -r -F
complete -c stubgate -n "__fish_stubgate_using_subcommand support-bundle" -l offline -d 'Ask nobody beyond this machine'
complete -c stubgate -n "__fish_stubgate_using_subcommand support-bundle" -l hashes -d 'Tell hosts, names and paths that agents asked for as hashes, by which records can be compared with each other'
complete -c stubgate -n "__fish_stubgate_using_subcommand support-bundle" -s h -l help -d 'Print help'
complete -c stubgate -n "__fish_stubgate_using_subcommand sandbox" -l agent -d 'The agent of the policy that the command is' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand sandbox" -l config -d 'The appliance\'s configuration; its listeners are not opened' -r -F
complete -c stubgate -n "__fish_stubgate_using_subcommand sandbox" -l policy -d 'Policy files, and folders of them, where there is no configuration' -r -F
complete -c stubgate -n "__fish_stubgate_using_subcommand sandbox" -l state-dir -d 'The folder for state, where there is no configuration' -r -F
complete -c stubgate -n "__fish_stubgate_using_subcommand sandbox" -l keep-env -d 'A variable to keep that would be left out' -r
complete -c stubgate -n "__fish_stubgate_using_subcommand sandbox" -l hide -d 'A file or folder that the command does not get to see' -r -F
complete -c stubgate -n "__fish_stubgate_using_subcommand sandbox" -l show -d 'A file or folder that is hidden by custom, such as ~/.kube, to be seen (and not changed)' -r -F
complete -c stubgate -n "__fish_stubgate_using_subcommand sandbox" -l writable -d 'For root: a folder that can be written, beside the one to start in, the home, /tmp and /var/tmp' -r -F
complete -c stubgate -n "__fish_stubgate_using_subcommand sandbox" -s q -l quiet -d 'Say nothing but errors'
complete -c stubgate -n "__fish_stubgate_using_subcommand sandbox" -s h -l help -d 'Print help'
complete -c stubgate -n "__fish_stubgate_using_subcommand help; and not __fish_seen_subcommand_from demo run policy config ca login stub audit credential nft attack doctor support-bundle sandbox help" -f -a "demo" -d 'Show the main job on loopback; nothing to configure, no root, no network'
complete -c stubgate -n "__fish_stubgate_using_subcommand help; and not __fish_seen_subcommand_from demo run policy config ca login stub audit credential nft attack doctor support-bundle sandbox help" -f -a "run" -d 'Run the appliance'
complete -c stubgate -n "__fish_stubgate_using_subcommand help; and not __fish_seen_subcommand_from demo run policy config ca login stub audit credential nft attack doctor support-bundle sandbox help" -f -a "policy" -d 'Work on policy files'
complete -c stubgate -n "__fish_stubgate_using_subcommand help; and not __fish_seen_subcommand_from demo run policy config ca login stub audit credential nft attack doctor support-bundle sandbox help" -f -a "config" -d 'Work on the appliance\'s configuration'
complete -c stubgate -n "__fish_stubgate_using_subcommand help; and not __fish_seen_subcommand_from demo run policy config ca login stub audit credential nft attack doctor support-bundle sandbox help" -f -a "ca" -d 'Work on the certificate authority that agents must trust'
complete -c stubgate -n "__fish_stubgate_using_subcommand help; and not __fish_seen_subcommand_from demo run policy config ca login stub audit credential nft attack doctor support-bundle sandbox help" -f -a "login" -d 'Put an OAuth login in escrow, so that stubgate alone holds and refreshes it'
complete -c stubgate -n "__fish_stubgate_using_subcommand help; and not __fish_seen_subcommand_from demo run policy config ca login stub audit credential nft attack doctor support-bundle sandbox help" -f -a "stub" -d 'Make stubs that one agent can use and nobody else, and call them back'
complete -c stubgate -n "__fish_stubgate_using_subcommand help; and not __fish_seen_subcommand_from demo run policy config ca login stub audit credential nft attack doctor support-bundle sandbox help" -f -a "audit" -d 'Read audit records'
complete -c stubgate -n "__fish_stubgate_using_subcommand help; and not __fish_seen_subcommand_from demo run policy config ca login stub audit credential nft attack doctor support-bundle sandbox help" -f -a "credential" -d 'Say how credentials stand, and try one'
complete -c stubgate -n "__fish_stubgate_using_subcommand help; and not __fish_seen_subcommand_from demo run policy config ca login stub audit credential nft attack doctor support-bundle sandbox help" -f -a "nft" -d 'Print nftables rules that leave the containers of a bridge no way but stubgate'
complete -c stubgate -n "__fish_stubgate_using_subcommand help; and not __fish_seen_subcommand_from demo run policy config ca login stub audit credential nft attack doctor support-bundle sandbox help" -f -a "attack" -d 'Try the ways out of the container that this runs in, and say which are open'
complete -c stubgate -n "__fish_stubgate_using_subcommand help; and not __fish_seen_subcommand_from demo run policy config ca login stub audit credential nft attack doctor support-bundle sandbox help" -f -a "doctor" -d 'Say what of the appliance\'s set-up works and what does not: files, kernel, resolvers, hosts, clock, listeners'
complete -c stubgate -n "__fish_stubgate_using_subcommand help; and not __fish_seen_subcommand_from demo run policy config ca login stub audit credential nft attack doctor support-bundle sandbox help" -f -a "support-bundle" -d 'Gather what somebody elsewhere needs to see what is wrong, without a secret'
complete -c stubgate -n "__fish_stubgate_using_subcommand help; and not __fish_seen_subcommand_from demo run policy config ca login stub audit credential nft attack doctor support-bundle sandbox help" -f -a "sandbox" -d 'Run a command that reaches nothing but what policy allows'
complete -c stubgate -n "__fish_stubgate_using_subcommand help; and not __fish_seen_subcommand_from demo run policy config ca login stub audit credential nft attack doctor support-bundle sandbox help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c stubgate -n "__fish_stubgate_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "check" -d 'Check policy files: every error at once, with its place and what to write instead'
complete -c stubgate -n "__fish_stubgate_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "test" -d 'Run the tests of a policy, and name the rules that none of them reaches'
complete -c stubgate -n "__fish_stubgate_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "explain" -d 'Explain the decision on one request: each phase, and each rule and why it does not fit'
complete -c stubgate -n "__fish_stubgate_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "diff" -d 'Compare two policies by meaning: what agents newly can do, and what they no longer can'
complete -c stubgate -n "__fish_stubgate_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "import" -d 'Translate another proxy\'s configuration, and say what could not be'
complete -c stubgate -n "__fish_stubgate_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "suggest" -d 'Suggest the narrowest rules for what was denied, from audit records, as YAML to review'
complete -c stubgate -n "__fish_stubgate_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "preset" -d 'Look at the rule files that a policy can include, and find the hosts for the one of packages'
complete -c stubgate -n "__fish_stubgate_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "schema" -d 'Print the JSON Schema of a file format, for editors'
complete -c stubgate -n "__fish_stubgate_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "check" -d 'Check a stubgate.yaml: every error at once, with its place and what to write instead'
complete -c stubgate -n "__fish_stubgate_using_subcommand help; and __fish_seen_subcommand_from ca" -f -a "init" -d 'Make the certificate authority, if there is none yet'
complete -c stubgate -n "__fish_stubgate_using_subcommand help; and __fish_seen_subcommand_from ca" -f -a "show" -d 'Show its fingerprint, when it ends, and how a rotation stands'
complete -c stubgate -n "__fish_stubgate_using_subcommand help; and __fish_seen_subcommand_from ca" -f -a "bundle" -d 'Print the certificates that an agent must trust, PEM'
complete -c stubgate -n "__fish_stubgate_using_subcommand help; and __fish_seen_subcommand_from ca" -f -a "rotate" -d 'Have a new authority take the place of the one that signs, without any agent noticing'
complete -c stubgate -n "__fish_stubgate_using_subcommand help; and __fish_seen_subcommand_from stub" -f -a "mint" -d 'Print a stub that one agent can use for one credential, and nobody else'
complete -c stubgate -n "__fish_stubgate_using_subcommand help; and __fish_seen_subcommand_from stub" -f -a "revoke" -d 'Call a stub back; the appliance refuses it within a second'
complete -c stubgate -n "__fish_stubgate_using_subcommand help; and __fish_seen_subcommand_from stub" -f -a "show" -d 'Say what a stub is for, when it ends, and whether it is good'
complete -c stubgate -n "__fish_stubgate_using_subcommand help; and __fish_seen_subcommand_from audit" -f -a "query" -d 'Say who did what when, with which value of which credential'
complete -c stubgate -n "__fish_stubgate_using_subcommand help; and __fish_seen_subcommand_from credential" -f -a "status" -d 'Say how each credential of the running appliance stands: its state, its end, what failed'
complete -c stubgate -n "__fish_stubgate_using_subcommand help; and __fish_seen_subcommand_from credential" -f -a "test" -d 'Try a credential once where it is known to be taken, and say what the answer means'
