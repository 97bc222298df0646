# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# What ./run and ./check have in common: installing, building, saying what takes long.
# Everything here speaks on stderr; stdout belongs to the program that is run.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
packages_list=$top/scripts/packages.txt

say() {
	printf '%s\n' "$*" >&2
}

fail() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# step TEXT LOG COMMAND...: one line of progress for what may take long; what the command prints
# goes to the log, and its end is shown when the command fails.
step() {
	local text=$1 log=$2 begin=$SECONDS ticker='' status=0
	shift 2
	mkdir -p "$(dirname "$log")"
	if [[ -t 2 ]]; then
		while :; do
			printf '\r%s ... %s s' "$text" "$((SECONDS - begin))" >&2
			sleep 1
		done &
		ticker=$!
	else
		say "$text ..."
	fi
	"$@" >"$log" 2>&1 </dev/null || status=$?
	if [[ $ticker ]]; then
		kill "$ticker"
		wait "$ticker" 2>/dev/null || true
		printf '\r\033[K' >&2
	fi
	if ((status)); then
		tail -n 40 "$log" >&2
		say "$text: failed; all of it is in $log"
	elif ((SECONDS - begin > 1)); then
		say "$text: done in $((SECONDS - begin)) s"
	fi
	return "$status"
}

# The packages of some groups, one a line.
packages_of() {
	awk -v groups=" $* " '!/^#/ && NF && index(groups, " " $1 " ") { print $2 }' "$packages_list"
}

# Those of the packages that are not installed.
packages_missing() {
	# dpkg-query fails when it does not know one of them.
	{
		dpkg-query -W -f='${db:Status-Abbrev} ${Package}\n' "$@" 2>/dev/null || true
	} | awk -v wanted="$*" '
		$1 ~ /^.i/ { installed[$2] = 1 }
		END {
			n = split(wanted, names, " ")
			for (i = 1; i <= n; i++)
				if (!(names[i] in installed))
					print names[i]
		}'
}

apt_install() {
	DEBIAN_FRONTEND=noninteractive apt-get -y -q -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 \
		--no-install-recommends install "$@"
}

# Without lists, or with old ones, the first try fails.
apt_install_fresh() {
	if compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null && apt_install "$@"; then
		return 0
	fi
	apt-get -q update && apt_install "$@"
}

# packages_install PACKAGE...: installs those that are missing.
packages_install() {
	local missing
	command -v dpkg-query >/dev/null || fail "this is not Debian: build by hand, see README.md"
	mapfile -t missing < <(packages_missing "$@")
	((${#missing[@]})) || return 0
	if ((EUID)); then
		fail "run as root once, or install these packages: ${missing[*]}"
	fi
	step "installing ${#missing[@]} packages" "$top/build/logs/packages.log" \
		apt_install_fresh "${missing[@]}" || fail "could not install: ${missing[*]}"
}

# build_setup DIR OPTION...: configures a build folder, or changes its options where they differ.
build_setup() {
	local dir=$1 options log
	shift
	log=$top/build/logs/$(basename "$dir")-setup.log
	options=$(printf '%s\n' "$@")
	if [[ ! -e $dir/build.ninja ]]; then
		step "configuring ${dir#"$top"/}" "$log" meson setup "$@" "$dir" "$top" || return
	elif [[ $options != "$(cat "$dir/options" 2>/dev/null)" ]]; then
		step "configuring ${dir#"$top"/}" "$log" meson setup --reconfigure "$@" "$dir" "$top" ||
			return
	fi
	printf '%s\n' "$options" >"$dir/options"
}

# build DIR TARGET...: says nothing when there is nothing to do.
build() {
	local dir=$1
	shift
	if [[ $(ninja -C "$dir" -n "$@" 2>&1 | tail -n 1) == 'ninja: no work to do.' ]]; then
		return 0
	fi
	step "building ${dir#"$top"/}" "$top/build/logs/$(basename "$dir").log" ninja -C "$dir" "$@"
}
