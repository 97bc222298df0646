// SPDX-License-Identifier: MIT
/*
 * What attaching and detaching make of definitions of many kinds.
 *
 * For each: what has to be there afterwards; attaching again changes nothing; detaching gives back
 * the text, byte for byte.
 */
#include "domains.h"

#include <errno.h>

#define SOCKET "/run/guestcl/vm/libvirt-5a1b0c52-6f0e-4d3a-9a51-0d6d4c1f7e01.sock"

static const struct gcl_host host_now = {"QEMU", 9000000, 7002022};

struct result {
	int status;
	bool changed;
	char *text;
	char reason[GCL_REASON_MAX];
};

static void result_fini(struct result *result)
{
	free(result->text);
}

static struct result attach(const char *text, const struct gcl_host *host,
			    const struct gcl_wish *wish)
{
	static const struct gcl_wish plain = {.socket = SOCKET, .channel = "auto"};
	_cleanup_(gcl_document_fini) struct gcl_document document = {0};
	_cleanup_(gcl_record_fini) struct gcl_record record = {0};
	struct result result = {0};

	assert_int_equal(gcl_document_read(&document, text), 0);
	assert_int_equal(gcl_record_read(&record, gcl_record_find(&document)), 0);
	result.status = gcl_definition_attach(&document, host ? host : &host_now,
					      wish ? wish : &plain, &record, &result.changed,
					      result.reason, sizeof result.reason);
	if (result.status == 0)
		assert_int_equal(gcl_document_write(&document, &result.text), 0);
	return result;
}

static char *detach(const char *text, char *kept, size_t kept_size)
{
	_cleanup_(gcl_document_fini) struct gcl_document document = {0};
	_cleanup_(gcl_record_fini) struct gcl_record record = {0};
	char *out = NULL;

	assert_int_equal(gcl_document_read(&document, text), 0);
	assert_int_equal(gcl_record_read(&record, gcl_record_find(&document)), 0);
	assert_int_equal(gcl_definition_detach(&document, &record, kept, kept_size), 0);
	assert_int_equal(gcl_document_write(&document, &out), 0);
	return out;
}

#define BACKING                                                                                    \
	"  <memoryBacking>\n    <source type='memfd'/>\n    <access mode='shared'/>\n"             \
	"  </memoryBacking>\n"

/* What stands in the definition once, or (with '!') not at all, when it is attached. */
static const struct {
	const char *name;
	const char *parts[6];
} cases[] = {
	{"plain",
	 {"<currentMemory unit='KiB'>4194304</currentMemory>\n" BACKING "  <vcpu",
	  "    </disk>\n    <disk type='vhostuser' device='disk' snapshot='no'>\n"
	  "      <driver name='qemu' type='raw' queues='4'/>\n"
	  "      <source type='unix' path='" SOCKET "'>\n"
	  "        <reconnect enabled='yes' timeout='1'/>\n"
	  "      </source>\n"
	  "      <target dev='vdb' bus='virtio'/>\n"
	  "      <alias name='ua-guestcl'/>\n"
	  "    </disk>\n    <interface",
	  "</uuid>\n  <metadata>\n    <guestcl:domain xmlns:guestcl=\"urn:guestcl:domain:1\" "
	  "version=",
	  "channel=\"virtio\" socket=\"" SOCKET
	  "\">\n      <guestcl:added what=\"memoryBacking\"/>\n"
	  "      <guestcl:added what=\"disk\"/>\n    </guestcl:domain>\n  </metadata>\n  <memory"}},
	{"no-disk",
	 {"</emulator>\n    <disk type='vhostuser'", "<target dev='vda' bus='virtio'/>"}},
	{"no-devices", {"  <devices>\n    <disk type='vhostuser'", "    </disk>\n  </devices>"}},
	{"one-device", {"  <devices>\n    <disk type='vhostuser'"}},
	{"disks-to-z", {"<target dev='vdaa' bus='virtio'/>"}},
	{"disk-b-only", {"<target dev='vdc' bus='virtio'/>", "!dev='vda'"}},
	{"backing-empty", {BACKING}},
	{"backing-locked",
	 {"<locked/>\n    <source type='memfd'/>\n    <access mode='shared'/>\n"}},
	{"backing-shared", {BACKING, "!what=\"memory", "!what=\"access", "!what=\"source"}},
	{"backing-private", {BACKING, "<guestcl:changed what=\"access\" was=\"private\"/>"}},
	{"backing-file", {"<source type='file'/>\n    <access mode='shared'/>", "!memfd"}},
	{"backing-anonymous", {BACKING, "<guestcl:changed what=\"source\" was=\"anonymous\"/>"}},
	{"numa-mixed",
	 {"<cell id='0' cpus='0-1' memory='2097152' unit='KiB' memAccess='shared'/>",
	  "<cell id='1' cpus='2-3' memory='2097152' unit='KiB'/>",
	  /* NOLINTNEXTLINE(bugprone-suspicious-missing-comma): lines of one text. */
	  BACKING, "<guestcl:changed what=\"cell\" id=\"0\" was=\"private\"/>", "!id=\"2\""}},
	{"numa-shared", {"!<memoryBacking>"}},
	{"numa-silent", {BACKING, "!memAccess"}},
	{"modules",
	 {BACKING, "!access='private'",
	  "<guestcl:changed what=\"memory\" id=\"0\" was=\"private\"/>"}},
	{"metadata",
	 {"  <metadata>\n    <guestcl:domain", "<x:domain xmlns:x=\"urn:another\"", "<metadata>"}},
	{"aarch64", {BACKING, "<disk type='vhostuser'"}},
	{"command-line", {BACKING, "<disk type='vhostuser'"}},
	{"vsock", {BACKING, "<disk type='vhostuser'", "<vsock"}},
	{"emulated", {BACKING, "<disk type='vhostuser'"}},
};

static void test_kinds(void **state)
{
	(void)state;
	for (size_t i = 0; i < GCL_ARRAY_SIZE(cases); i++) {
		const char *name = cases[i].name;
		_cleanup_free_ char *text = domain_text(name), *back = NULL;
		_cleanup_(result_fini) struct result once = attach(text, NULL, NULL);
		_cleanup_(result_fini) struct result twice = {0};
		char kept[128];

		if (once.status != 0)
			fail_msg("%s: %s", name, once.reason);
		assert_true(once.changed);
		for (size_t j = 0; j < GCL_ARRAY_SIZE(cases[i].parts) && cases[i].parts[j]; j++) {
			const char *part = cases[i].parts[j];

			holds(name, once.text, part + (*part == '!'), *part != '!');
		}
		twice = attach(once.text, NULL, NULL);
		assert_int_equal(twice.status, 0);
		assert_false(twice.changed);
		assert_string_equal(twice.text, once.text);
		back = detach(once.text, kept, sizeof kept);
		/* That it had a <memoryBacking/> without content is not remembered, nor that
		 * <devices/> was written so; both mean the same. */
		if (strcmp(name, "backing-empty") == 0)
			holds(name, back, "<memoryBacking>\n  </memoryBacking>", 1);
		else if (strcmp(name, "no-devices") == 0)
			holds(name, back, "<devices>\n  </devices>", 1);
		else
			assert_string_equal(back, text);
	}
}

static void test_unsuitable(void **state)
{
	static const struct {
		const char *name, *channel, *reason;
		struct gcl_host host;
	} unsuitable[] = {
		{"emulated-one-cpu", "auto", "<vcpu current='1'>2</vcpu>", {"QEMU", 9000000, 0}},
		{"emulated-one-cpu", "vsock", "<vcpu current='1'>2</vcpu>", {"QEMU", 9000000, 0}},
		{"s390x", "auto", "architecture s390x", {"QEMU", 9000000, 0}},
		{"hugepages", "auto", "huge pages", {"QEMU", 9000000, 0}},
		{"hugepages", "virtio", "--channel vsock", {"QEMU", 9000000, 0}},
		{"plain", "auto", "driver Xen", {"Xen", 9000000, 0}},
		{"plain", "virtio", "--channel vsock", {"QEMU", 9000000, 5002000}},
		{"plain", "virtio", "--channel vsock", {"QEMU", 7000000, 7002000}},
	};

	(void)state;
	for (size_t i = 0; i < GCL_ARRAY_SIZE(unsuitable); i++) {
		struct gcl_wish wish = {.socket = SOCKET, .channel = unsuitable[i].channel};
		_cleanup_free_ char *text = domain_text(unsuitable[i].name);
		_cleanup_(result_fini) struct result result =
			attach(text, &unsuitable[i].host, &wish);

		assert_int_equal(result.status, -ENOTSUP);
		holds(unsuitable[i].name, result.reason, unsuitable[i].reason, 1);
	}
}

static void test_vsock(void **state)
{
	static const struct gcl_host old = {"QEMU", 9000000, 5002000};
	static const struct gcl_wish asked = {.socket = SOCKET, .channel = "vsock"};
	_cleanup_free_ char *text = domain_text("plain"), *other = domain_text("vsock");
	_cleanup_free_ char *back = NULL, *other_back = NULL;
	_cleanup_(result_fini) struct result fallback = attach(text, &old, NULL);
	_cleanup_(result_fini) struct result present = attach(other, NULL, &asked);
	_cleanup_(result_fini) struct result again, change;
	char kept[128];

	(void)state;
	assert_int_equal(fallback.status, 0);
	holds("fallback", fallback.text, "<vsock model='virtio'>\n      <cid auto='yes'/>", 1);
	holds("fallback", fallback.text, "memoryBacking", 0);
	holds("fallback", fallback.text, "vhostuser", 0);
	holds("fallback", fallback.text, "socket=", 0);
	back = detach(fallback.text, kept, sizeof kept);
	assert_string_equal(back, text);

	/* Later, on a host that could do better: it stays as it is until it is detached. */
	again = attach(fallback.text, NULL, NULL);
	assert_int_equal(again.status, 0);
	assert_false(again.changed);
	change = attach(fallback.text, NULL, &(struct gcl_wish){SOCKET, "virtio", NULL, NULL});
	assert_int_equal(change.status, -ENOTSUP);
	holds("change", change.reason, "detach it first", 1);

	/* A vsock that was there is used, and stays. */
	assert_int_equal(present.status, 0);
	holds("present", present.text, "<vsock", 1);
	other_back = detach(present.text, kept, sizeof kept);
	assert_string_equal(other_back, other);
}

static void test_limits(void **state)
{
	uint64_t memory = 4ull << 30, none = 0;
	unsigned weight = 7;
	struct gcl_wish wish = {SOCKET, "auto", &memory, NULL};
	_cleanup_free_ char *text = domain_text("plain");
	_cleanup_(result_fini) struct result first = attach(text, NULL, &wish);
	_cleanup_(result_fini) struct result second, third;

	(void)state;
	holds("first", first.text, "<guestcl:limit memory=\"4294967296\"/>", 1);
	wish = (struct gcl_wish){SOCKET, "auto", NULL, &weight};
	second = attach(first.text, NULL, &wish);
	assert_false(second.changed);
	holds("second", second.text, "<guestcl:limit memory=\"4294967296\" weight=\"7\"/>", 1);
	wish = (struct gcl_wish){SOCKET, "auto", &none, NULL};
	third = attach(second.text, NULL, &wish);
	holds("third", third.text, "<guestcl:limit weight=\"7\"/>", 1);
}

/* A clone of a domain has that domain's record and device. */
static void test_clone(void **state)
{
	struct gcl_wish wish = {"/elsewhere/clone.sock", "auto", NULL, NULL};
	_cleanup_free_ char *text = domain_text("plain"), *back = NULL;
	_cleanup_(result_fini) struct result first = attach(text, NULL, NULL);
	_cleanup_(result_fini) struct result clone = attach(first.text, NULL, &wish);
	char kept[128];

	(void)state;
	assert_int_equal(clone.status, 0);
	assert_true(clone.changed);
	holds("clone", clone.text, "<disk type='vhostuser'", 1);
	holds("clone", clone.text, "/elsewhere/clone.sock", 2);
	holds("clone", clone.text, SOCKET, 0);
	holds("clone", clone.text, "what=\"disk\"", 1);
	back = detach(clone.text, kept, sizeof kept);
	assert_string_equal(back, text);
}

/* Others may edit the definition while it is attached: theirs stays. */
static void test_edited_since(void **state)
{
	static const char filesystem[] = "    <filesystem type='mount'>\n"
					 "      <driver type='virtiofs'/>\n    </filesystem>\n"
					 "    <memballoon";
	_cleanup_free_ char *text = domain_text("plain"), *needs = NULL, *huge = NULL, *gone = NULL;
	_cleanup_free_ char *needs_back = NULL, *huge_back = NULL, *gone_back = NULL;
	_cleanup_(result_fini) struct result first = attach(text, NULL, NULL), again;
	char kept[128];

	(void)state;
	needs = replaced(first.text, "    <memballoon", filesystem);
	needs_back = detach(needs, kept, sizeof kept);
	assert_string_equal(kept, "memory stays shared: the domain's <filesystem> needs it");
	holds("needs", needs_back, BACKING, 1);
	holds("needs", needs_back, "guestcl", 0);

	huge = replaced(first.text, "<source type='memfd'/>", "<hugepages/>");
	huge_back = detach(huge, kept, sizeof kept);
	assert_string_equal(kept, "");
	holds("huge", huge_back, "<memoryBacking>\n    <hugepages/>\n  </memoryBacking>", 1);

	/* The device taken away by hand: attaching again brings it back, once. */
	gone = replaced(first.text, "<alias name='ua-guestcl'/>", "");
	holds("gone", gone, SOCKET, 2);
	again = attach(gone, NULL, NULL);
	assert_false(again.changed);
	gone_back = detach(gone, kept, sizeof kept);
	assert_string_equal(gone_back, text);
}

/* libvirt had to add a PCI port for our device. */
static void test_controllers(void **state)
{
	static const char ports[] =
		"    <controller type='pci' index='5' model='pcie-root-port'/>\n"
		"    <controller type='pci' index='6' model='pcie-root-port'/>\n"
		"    <memballoon";
	_cleanup_free_ char *text = domain_text("plain"), *more = NULL, *known = NULL;
	_cleanup_free_ char *used = NULL, *back = NULL, *used_back = NULL;
	_cleanup_(result_fini) struct result first = attach(text, NULL, NULL);
	char kept[128];

	(void)state;
	more = replaced(first.text, "    <memballoon", ports);
	known = replaced(
		more, "<guestcl:added what=\"disk\"/>",
		"<guestcl:added what=\"disk\"/><guestcl:added what=\"controller\" id=\"5\"/>"
		"<guestcl:added what=\"controller\" id=\"0\"/>");
	back = detach(known, kept, sizeof kept);
	holds("controllers", back, "<controller type='pci' index='5'", 0);
	holds("controllers", back, "<controller type='pci' index='6'", 1);
	/* Unless something else has been put there. */
	used = replaced(known, "<memballoon model='virtio'/>",
			"<memballoon model='virtio'>\n      <address type='pci' domain='0x0000' "
			"bus='0x05' slot='0x00' function='0x0'/>\n    </memballoon>");
	used_back = detach(used, kept, sizeof kept);
	holds("used", used_back, "<controller type='pci' index='5'", 1);
}

/* Who may edit the domain may write anything into our element. */
static void test_record_hostile(void **state)
{
	static const char *const records[] = {
		"<guestcl:domain xmlns:guestcl=\"urn:guestcl:domain:1\"/>",
		"<guestcl:domain xmlns:guestcl=\"urn:guestcl:domain:1\" channel=\"x\" socket=\"\">"
		"<guestcl:limit memory=\"-1\" weight=\"99999999999\"/>"
		"<guestcl:added what=\"emulator\"/><guestcl:added/><guestcl:changed what=\"cell\"/>"
		"<guestcl:changed what=\"cell\" id=\"99\" was=\"x\"/>"
		"<guestcl:added what=\"memoryBacking\"/><guestcl:added what=\"source\"/>"
		"<guestcl:added what=\"access\"/><guestcl:added what=\"access\"/>"
		"<guestcl:added what=\"vsock\"/><guestcl:added what=\"disk\"/>"
		"<guestcl:added what=\"controller\" id=\"4294967296\"/></guestcl:domain>",
	};

	(void)state;
	for (size_t i = 0; i < GCL_ARRAY_SIZE(records); i++) {
		_cleanup_free_ char *text = domain_text("plain"), *metadata = NULL, *with = NULL;
		_cleanup_free_ char *back = NULL;
		_cleanup_(result_fini) struct result result = {0};
		char kept[128];

		assert_true(asprintf(&metadata, "<metadata>%s</metadata>\n  <memory", records[i]) >
			    0);
		with = replaced(text, "<memory", metadata);
		back = detach(with, kept, sizeof kept);
		assert_string_equal(back, text);
		result = attach(with, NULL, NULL);
		assert_int_equal(result.status, 0);
		holds("hostile", result.text, "emulator\"", 0);
		holds("hostile", result.text, "<guestcl:limit", 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),	    cmocka_unit_test(test_unsuitable),
		cmocka_unit_test(test_vsock),	    cmocka_unit_test(test_limits),
		cmocka_unit_test(test_clone),	    cmocka_unit_test(test_edited_since),
		cmocka_unit_test(test_controllers), cmocka_unit_test(test_record_hostile),
	};

	return cmocka_run_group_tests_name("definition", tests, NULL, NULL);
}
