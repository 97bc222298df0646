# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Packages of other releases of Debian's, fetched and unpacked without being installed.

# The mirror that this machine uses for Debian, with whatever it takes to reach it.
debian_mirror() {
	# shellcheck disable=SC2016 # the names are apt-get's
	apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' |
		awk -F '|' '$1 == "Debian" && $2 == "Debian" { print $3; exit }'
}

# apt_there FOLDER COMMAND...: apt-get or apt-cache with lists, sources and an empty system of its own
# in a folder that debian_sources() made.
apt_there() {
	local work=$1 program=$2
	shift 2
	"$program" -q -o APT::Get::Assume-Yes=true -o Dpkg::Use-Pty=0 -o APT::Sandbox::User="$(id -un)" \
		-o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o Dir::Etc::PreferencesParts=/dev/null \
		-o Dir::State="$work/state" -o Dir::State::status="$work/status" \
		-o Dir::Cache="$work/cache" -o APT::Install-Recommends=false "$@"
}

# debian_sources FOLDER SUITE...: makes the folder for apt_there, with the suites' lists.
debian_sources() {
	local work=$1 uri
	shift
	uri=$(debian_mirror)
	[[ $uri ]] || {
		echo "apt knows no mirror of Debian: run apt-get update"
		return 1
	}
	mkdir -p "$work"/{state/lists,cache/archives}/partial
	: >"$work/status"
	printf "deb $uri %s main\n" "$@" >"$work/sources.list"
	apt_there "$work" apt-get update
}
