# Sourced by ./quickstart and ./check: installs the packages that are missing and configures a build folder.

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }

# Installs what etc/packages lists and this machine lacks; needs root or sudo only when something is missing.
install_packages() {
    local missing=() package sudo=
    while read -r package; do
        case $package in '' | '#'*) continue ;; esac
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done <etc/packages
    [ ${#missing[@]} -eq 0 ] && return
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || {
            echo "These Debian packages are missing: ${missing[*]}. Install them as root, then run this again." >&2
            exit 1
        }
        sudo=sudo
    fi
    say "Installing ${#missing[@]} packages: ${missing[*]}"
    $sudo apt-get update -qq
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# build_tree DIR TARGET [cmake options...]: configures DIR and compiles the target, quiet but for the progress.
build_tree() {
    local dir=$1 target=$2
    shift 2
    cmake -S . -B "$dir" "$@" >"$dir.log" 2>&1 || { cat "$dir.log" >&2; rm -f "$dir.log"; exit 1; }
    rm -f "$dir.log"
    cmake --build "$dir" --target "$target" --parallel "$(nproc)" | awk '
        /^\[ *[0-9]+%\]/ { percent = substr($0, 2, 3) + 0; if (percent >= shown + 10) { shown = percent - percent % 10; printf "    %d%%\n", shown; fflush() } next }
        /error:|Error|FAILED/ { print; fflush() }'
    [ "${PIPESTATUS[0]}" -eq 0 ]
}
