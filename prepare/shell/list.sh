# shellcheck shell=sh
# The list of what belongs here: the pool's own (models.tsv), and what the map routes here beside it (declared.tsv).

# The kubelet swaps the symlink ..data to a new folder; within one such folder all files belong together.
inside() { cd -P "$1/..data" 2>/dev/null || cd -P "$1" 2>/dev/null || return 1; }

# Of all that is mounted: the list, the map and its override.
fingerprint() {
    for folder in "$definitions" "$routes" "$override"; do
        (inside "$folder" && sha256sum -- *) 2>/dev/null
    done | sha256sum | cut -c 1-64
}

list_changed() { [ "$(fingerprint)" != "$listed" ]; }

# Copies what is mounted to $work/list, so that one pass sees one state, and writes there wanted.tsv, which it follows.
# $listed: the fingerprint of what was copied.
snapshot() {
    listed=$(fingerprint)
    rm -rf "$work/list"
    mkdir "$work/list" "$work/list/map" || return 1
    (inside "$definitions" && cp -L -- * "$work/list/") 2>/dev/null || return 1
    [ -f "$work/list/models.tsv" ] || return 1
    (inside "$routes" && cp -L -- routes.toml "$work/list/map/routes.toml") 2>/dev/null
    (inside "$override" && cp -L -- routes.toml "$work/list/map/override.toml") 2>/dev/null
    : >>"$work/list/declared.tsv"
    follow_map
    write_wanted
}

# wanted.tsv: the pool's own entries; then those of declared models that the map alone routes here, with what they are
# made from; then the names that stand for any of them.
write_wanted() {
    # no map: the list is all that is known
    [ -f "$work/routed" ] || { cp "$work/list/models.tsv" "$work/list/wanted.tsv" && return; }
    awk -F "$tab" -v OFS="$tab" "$CANONICAL"'
        FILENAME ~ /models.tsv$/ { own[++owned] = $0; if ($1 != "copy") here[canonical($2)] = 1; next }
        FILENAME ~ /routed$/ { if ($1 == "model") routed[canonical($2)] = 1; else stands[++aliases] = $0; next }
        (canonical($1) in routed) && !(canonical($1) in here) && !(canonical($3) in here) && !(($2, $3, $4) in seen) {
            seen[$2, $3, $4] = 1
            more[++added] = $2 OFS $3 OFS $4 OFS $5
            came[canonical($1)] = 1
        }
        END {
            for (i = 1; i <= owned; i++) { split(own[i], field); if (field[1] != "copy") print own[i] }
            for (i = 1; i <= added; i++) print more[i]
            for (i = 1; i <= aliases; i++) {
                split(stands[i], field)
                named[canonical(field[2])] = 1
                target = canonical(field[3])
                if ((target in here) || (target in came)) print "copy", field[2], field[3], "-"
            }
            for (i = 1; i <= owned; i++) {
                split(own[i], field)
                if (field[1] == "copy" && !(canonical(field[2]) in named)) print own[i]
            }
        }' "$work/list/models.tsv" "$work/routed" "$work/list/declared.tsv" >"$work/list/wanted.tsv"
}
