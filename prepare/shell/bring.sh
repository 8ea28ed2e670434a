# shellcheck shell=sh
# Brings one entry of the list into place: pulled, created from its Modelfile, copied, or only verified.

# What FROM in Modelfile $1 names: one word, as in the plan, or a sentence that begins with "From" would be taken for it.
from_of() {
    tr -d '"\r' <"$1" | sed -n 's/^[[:space:]]*[Ff][Rr][Oo][Mm][[:space:]][[:space:]]*\([^[:space:]]*\)[[:space:]]*$/\1/p' | head -n 1
}

# Writes Modelfile $2 to $work/Modelfile with FROM $1 in place of its own.
from_instead() {
    awk -v from="FROM $1" '!done && NF == 2 && tolower($1) == "from" { print from; done = 1; next } { print }' "$2" >"$work/Modelfile"
}

# The model behind FROM in Modelfile $1, nothing where it is a file.
from_model() {
    from=$(from_of "$1")
    case $from in /* | ./* | ../* | '~'* | https://* | *.gguf | *.safetensors) from='' ;; esac
    printf '%s' "$from"
}

# Whether a later entry makes model $1 again from itself, as it does for a context of its own.
overlaid() {
    overlaid_file=$(awk -F "$tab" -v name="$1" '$1 == "create" && $2 == name { print $3; exit }' "$work/list/wanted.tsv")
    [ -n "$overlaid_file" ] && [ -f "$work/list/$overlaid_file" ] || return 1
    overlaid_from=$(from_model "$work/list/$overlaid_file")
    [ -n "$overlaid_from" ] || return 1
    locate "$overlaid_from" && overlaid_path=$manifest
    locate "$1" && [ "$manifest" = "$overlaid_path" ]
}

# $record: where we note how the model of manifest file $1 was made. Beside the models, since it is true of them only.
record_of() { record=$notes/created/${1#"$store/manifests/"}; }

# Whether what manifest file $1 holds was made by us from a Modelfile.
made_here() {
    record_of "$1"
    [ -s "$record" ] && [ -f "$1" ] && [ "$(cut -d ' ' -f 3 "$record")" = "$(digest_of "$1")" ]
}

copy_model() { # NAME NAME
    locate "$1" && copied=$manifest
    locate "$2" && place "$copied" "$manifest"
}

bring_pull() { # NAME SOURCE DIGEST
    locate "$1" && target=$manifest
    locate "$2" && pulled=$manifest
    if [ "$pulled" != "$target" ]; then
        # Pulled from another registry: the registry's own name keeps it as it came, ours is a copy.
        in_place "$pulled" "$3" || pull_verified "$2" "$3" || return $?
        overlaid "$1" && return 0
        locate "$2" && [ "$(digest_of "$target")" = "$(digest_of "$manifest")" ] && return 0
        copy_model "${2#http://}" "$1"
        return $?
    fi
    original=$(as_pulled "$1")
    locate "$original" && kept=$manifest
    if overlaid "$1"; then
        in_place "$kept" "$3" && return 0
        if made_here "$target" || ! in_place "$target" "$3"; then pull_verified "$2" "$3" || return $?; fi
        copy_model "$1" "$original"
        return $?
    fi
    if made_here "$target"; then
        # A context was laid over it once and no longer is.
        if in_place "$kept" "$3"; then
            say "$1: back to what was pulled"
            copy_model "$original" "$1" || return $?
        else
            pull_verified "$2" "$3" || return $?
        fi
    elif ! in_place "$target" "$3"; then
        pull_verified "$2" "$3" || return $?
    fi
    # not by `ollama rm`, which would unload the runner that both names share
    [ ! -f "$kept" ] || remove_manifest "$kept"
}

# The weights behind FROM in Modelfile $2 are a file that somebody brought to $store/files, or lie at $address; model $1
# is made of them.
from_file() { # NAME MODELFILE DIGEST
    from=$(from_of "$2")
    file=$from
    case $from in
    https://*) address=$from file=$store/blobs/sha256-$3 ;;
    ./*) file=$store/files/${file#./} ;;
    /*) ;;
    *) return 0 ;; # `create` says what is wrong with it
    esac
    base_digest=$3
    if [ -z "$address" ] && [ ! -f "$file" ]; then why="$1 is made from $file, which is not there" && return "$NO_SOURCE"; fi
    [ "$base_digest" != - ] || base_digest=$(wc -c <"$file")-bytes
    from_instead "$file" "$2"
}

bring_create() { # NAME MODELFILE DIGEST
    recipe=$work/list/$2
    [ -f "$recipe" ] || { why="$1: no file $2 in the list" && return "$WRONG_LIST"; }
    base=$(from_model "$recipe")
    base_digest=- address=''
    cp "$recipe" "$work/Modelfile"
    if [ -n "$base" ]; then
        locate "$1" && target=$manifest
        locate "$base"
        if [ "$manifest" = "$target" ]; then
            # A model laid over itself: from what was pulled, kept by `bring_pull`, never from the last overlay.
            source=$(awk -F "$tab" -v name="$1" '$1 == "pull" && $2 == name { print $3; exit }' "$work/list/wanted.tsv")
            locate "${source:-$1}"
            if [ "$manifest" = "$target" ]; then base=$(as_pulled "$1"); else base=${source#http://}; fi
        elif ! in_place "$manifest" -; then
            # `create` would pull it too, but without retries, verification or plain HTTP.
            pull_verified "$base" - || return $?
        fi
        locate "$base" && base_digest=$(digest_of "$manifest")
        # in its spelling on the disk, which `create` asks for
        from_instead "$(called "${manifest#"$store/manifests/"}")" "$recipe"
    else
        from_file "$1" "$recipe" "$3" || return $?
    fi
    locate "$1" && target=$manifest
    record_of "$target"
    recipe_digest=$(digest_of "$recipe")
    if made_here "$target" && in_place "$target" - && [ "$(cut -d ' ' -f 1,2 "$record")" = "$recipe_digest $base_digest" ]; then
        return 0
    fi
    if [ -n "$address" ]; then
        download "$address" "$3" || return $?
    elif [ -z "$base" ] && [ "$3" != - ] && [ "$(digest_of "$file")" != "$3" ]; then
        why="digest differs for $1: $file has $(digest_of "$file"), the file pins $3" && return "$WRONG_DIGEST"
    fi
    say "$1: creating from its Modelfile"
    brought=$((brought + 1))
    note "$target"
    fresh=$(beside new "$1")
    locate "$fresh" && note "$manifest" && show_again "$manifest"
    if ! ask 600 create "$fresh" -f "$work/Modelfile"; then
        last_error
        create_code=$(kind_of "$error")
        case $ask_status:$create_code in
        124:*) create_code=$OTHER error="not done within 600 s" ;;
        *:"$DISK_FULL" | *:"$NO_SERVER") ;;
        *) create_code=$WRONG_MODELFILE ;;
        esac
        explain "$create_code" "$1" "$error"
        [ "$create_code" -ne "$WRONG_MODELFILE" ] || why="Modelfile wrong for $1: $error"
        return "$create_code"
    fi
    locate "$fresh"
    place "$manifest" "$target" || return $?
    hide "$manifest"
    record_of "$target"
    mkdir -p "${record%/*}" && printf '%s %s %s\n' "$recipe_digest" "$base_digest" "$(digest_of "$target")" >"$record.new" &&
        mv "$record.new" "$record" && return 0
    why="cannot write $record" && return "$DISK_FULL"
}

bring_copy() { # NAME SOURCE
    locate "$1" && target=$manifest
    locate "$2"
    in_place "$manifest" - || { why="$1 is a copy of $2, which is not here" && return "$NO_SOURCE"; }
    [ "$(digest_of "$target")" != "$(digest_of "$manifest")" ] || return 0
    say "$1: copying $2"
    brought=$((brought + 1))
    copy_model "$2" "$1"
}

# Nothing is fetched: the model was brought here by somebody else.
verify_model() { # NAME DIGEST
    locate "$1"
    in_place "$manifest" "$2" && return 0
    if in_place "$manifest" -; then
        why="digest differs for $1: $store has $(digest_of "$manifest"), the file pins $2" && return "$WRONG_DIGEST"
    fi
    why="$1 is not whole in $store, and registry: none fetches nothing" && return "$NO_SOURCE"
}

# One entry into place, verified.
bring() { # ACTION NAME SOURCE DIGEST
    bring_before=$brought
    case $1 in
    pull) bring_pull "$2" "$3" "$4" ;;
    create) bring_create "$2" "$3" "$4" ;;
    copy) bring_copy "$2" "$3" ;;
    verify) verify_model "$2" "$4" ;;
    *) why="models.tsv has the action '$1', not pull, create, copy or verify" && return "$WRONG_LIST" ;;
    esac || return $?
    [ "$brought" -gt "$bring_before" ] || return 0
    locate "$2"
    if [ "$1" = pull ] && overlaid "$2"; then return 0; fi # its create verifies it
    if ! in_place "$manifest" - || ! ask 60 show "$2"; then
        last_error
        explain "$OTHER" "verification of $2" "$error"
        return "$OTHER"
    fi
    say "$2: in place"
}

# Every entry of the file $1. In init the first failure ends it; in watch the others still get their turn.
bring_all() {
    all_code=0
    while IFS=$tab read -r action name source digest <&3 || [ -n "${action:-}" ]; do
        [ -n "$action" ] || continue
        if [ "$mode" = watch ]; then deadline=$(($(now) + ${PULL_DEADLINE:-3600})); fi
        bring "$action" "$name" "$source" "${digest:--}"
        one_code=$?
        [ "$one_code" -ne 0 ] || continue
        all_code=$one_code
        if [ "$mode" = init ] || [ "$one_code" -eq "$LIST_CHANGED" ]; then break; fi
        say "$why"
    done 3<"$1"
    return "$all_code"
}
