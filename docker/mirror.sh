# Where Debian packages come from; read by the scripts beside it.
#
# MIRROR and SECURITY_MIRROR say so, for example an archive of one moment, as Debian's snapshot service has them, for a
# build that can be repeated next year. Otherwise packages come from where this machine's own come from.
mirror_of() {
    apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 2>/dev/null | sort -u | grep "/$1/*\$" | head -n 1
}
MIRROR=${MIRROR:-$(mirror_of debian || true)}
SECURITY_MIRROR=${SECURITY_MIRROR:-$(mirror_of debian-security || true)}
: "${MIRROR:?says where Debian is; apt has no source of that name here}"
: "${SECURITY_MIRROR:?says where the security updates of Debian are; apt has no source of that name here}"

# sources RELEASE: lines for sources.list.
sources() {
    if [ "$1" = sid ]; then
        # It has no updates beside itself. An archive of one moment is soon older than sid's lists say they are good
        # for; they are signed all the same.
        echo "deb [check-valid-until=no] $MIRROR sid main"
        return
    fi
    echo "deb $MIRROR $1 main"
    echo "deb $MIRROR $1-updates main"
    echo "deb $SECURITY_MIRROR $1-security main"
}
