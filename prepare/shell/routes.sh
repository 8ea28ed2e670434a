# shellcheck shell=sh
# The map of the fleet (routes.toml, and hand edits in its override): which names this pool stands for.

# A name as Ollama compares names; for awk.
# shellcheck disable=SC2016
readonly CANONICAL='
    function canonical(name, leaf) {
        name = tolower(name)
        sub(/^registry\.ollama\.ai\//, "", name)
        sub(/^library\//, "", name)
        leaf = name
        sub(/.*\//, "", leaf)
        return leaf ~ /:/ ? name : name ":latest"
    }'

# The names that the files $2... route to pool $1, the last file deciding: `model NAME -` and `alias NAME TARGET`, for an
# alias of any pool too. Fails at an entry that is not one line in the form of the map, and says which.
routed() {
    routed_pool=$1
    shift
    awk -v pool="$routed_pool" "$CANONICAL"'
        function refuse(what) { printf "%s line %d: %s\n", FILENAME, FNR, what; broken = 1; exit 1 }
        function unquote(text) { gsub(/^[ \t]*"|"[ \t]*$/, "", text); return text }
        FNR == 1 { section = "" }
        { sub(/\r$/, "") }
        /^[ \t]*(#.*)?$/ { next }
        /^[ \t]*\[[A-Za-z0-9_-]+\][ \t]*(#.*)?$/ { section = $0; gsub(/^[ \t]*\[|\].*$/, "", section); next }
        section != "routes" { next }
        {
            if (!match($0, /^[ \t]*("[^"\\]+"|[A-Za-z0-9_-]+)[ \t]*=[ \t]*/)) refuse("not an entry of the form NAME = ...")
            name = substr($0, 1, RLENGTH)
            value = substr($0, RLENGTH + 1)
            sub(/[ \t]*=[ \t]*$/, "", name)
            name = unquote(name)
            # its manifest has a path that is made of the name
            if (name !~ /^[A-Za-z0-9][A-Za-z0-9_.:\/-]*$/ || name ~ /[\/:]\.\.?([\/:]|$)/) refuse(name " is not the name of a model")
            sub(/[ \t]*(#[^"]*)?$/, "", value)
            key = canonical(name)
            # as the router does: hand edits bring no name, or it would refuse what we follow
            if (FILENAME != ARGV[1] && !(key in declared)) refuse("the program does not declare " name)
            if (FILENAME == ARGV[1]) declared[key] = 1
            spelled[key] = name
            if (value ~ /^\[[ \t]*("[^"\\]+"[ \t]*(,[ \t]*"[^"\\]+"[ \t]*)*,?)?[ \t]*\]$/) kind[key] = "model"
            else if (value ~ /^"[^"\\]+"$/) kind[key] = "alias"
            else if (value ~ /^\{[ \t]*("[^"\\]+"|[A-Za-z0-9_-]+)[ \t]*=[ \t]*[0-9]+[ \t]*(,[ \t]*("[^"\\]+"|[A-Za-z0-9_-]+)[ \t]*=[ \t]*[0-9]+[ \t]*)*\}$/)
                kind[key] = "alias"
            else refuse("the value of " name " is not a list of pools, a name or a split")
            gsub(/^[[{][ \t]*|[ \t]*,?[ \t]*[]}]$/, "", value)
            values[key] = value
        }
        END {
            if (broken) exit 1
            for (key in kind) {
                count = split(values[key], part, /[ \t]*,[ \t]*/)
                for (i = 1; i <= count; i++) {
                    if (kind[key] == "model") {
                        if (unquote(part[i]) == pool) print "model\t" spelled[key] "\t-"
                    } else {
                        sub(/[ \t]*=[ \t]*[0-9]+[ \t]*$/, "", part[i])
                        print "alias\t" spelled[key] "\t" unquote(part[i])
                    }
                }
            }
        }' "$@"
}

# $work/routed: the map as last understood. A broken map or override changes nothing and is said once.
follow_map() {
    map=$work/list/map
    [ -f "$map/routes.toml" ] || return 0
    set -- "$map/routes.toml"
    [ ! -f "$map/override.toml" ] || set -- "$@" "$map/override.toml"
    if routed "$pool" "$@" >"$work/routed.new"; then
        sort "$work/routed.new" >"$work/routed"
        refuse_undeclared
        return 0
    fi
    say "the map is refused, the last one stays in force: $(sed "s|^$map/||; q" "$work/routed.new")"
    # the first look at it: what the program wrote is still good
    [ -f "$work/routed" ] || { [ $# -eq 2 ] && routed "$pool" "$1" | sort >"$work/routed"; }
}

# A name that no declared model has would be pulled from nobody knows where.
refuse_undeclared() {
    awk -F "$tab" "$CANONICAL"'
        FILENAME ~ /routed$/ { if ($1 == "model") routed[canonical($2)] = $2; next }
        { delete routed[canonical(FILENAME ~ /declared.tsv$/ ? $1 : $2)] }
        END {
            for (key in routed)
                print "prepare: the map routes " routed[key] " here, which the program does not declare: refused"
        }' "$work/routed" "$work/list/models.tsv" "$work/list/declared.tsv"
}
