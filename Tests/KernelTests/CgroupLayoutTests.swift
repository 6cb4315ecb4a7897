import Testing

@testable import Kernel

/// Lines of /proc/self/mountinfo as they are on three kinds of hosts.
struct CgroupLayoutTests {
    private static let version2 = """
        22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
        29 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
        """
    private static let version1 = """
        30 25 0:26 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:9 - tmpfs tmpfs ro,mode=755
        33 30 0:29 / /sys/fs/cgroup/systemd rw,nosuid shared:11 - cgroup cgroup rw,xattr,name=systemd
        35 30 0:31 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid,nodev,noexec,relatime shared:13 - cgroup cgroup rw,cpu,cpuacct
        36 30 0:32 / /sys/fs/cgroup/memory rw,nosuid,nodev,noexec,relatime shared:14 - cgroup cgroup rw,memory
        37 30 0:33 / /sys/fs/cgroup/pids rw,nosuid,nodev,noexec,relatime - cgroup cgroup rw,pids
        """

    @Test func version2Alone() {
        let layout = CgroupLayout(mountinfo: CgroupLayoutTests.version2)
        #expect(layout.version2 == "/sys/fs/cgroup" && layout.version1.isEmpty && !layout.limitsOnVersion1)
    }

    @Test func version1Alone() {
        let layout = CgroupLayout(mountinfo: CgroupLayoutTests.version1)
        #expect(layout.version2 == nil && layout.limitsOnVersion1)
        #expect(
            layout.version1 == [
                "cpu": "/sys/fs/cgroup/cpu,cpuacct", "cpuacct": "/sys/fs/cgroup/cpu,cpuacct",
                "memory": "/sys/fs/cgroup/memory", "pids": "/sys/fs/cgroup/pids",
            ])
    }

    @Test func hybrid() {
        let unified = "34 30 0:30 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw,nsdelegate"
        let layout = CgroupLayout(mountinfo: CgroupLayoutTests.version1 + "\n" + unified)
        #expect(layout.version2 == "/sys/fs/cgroup/unified" && layout.limitsOnVersion1)
    }

    /// The named hierarchy of systemd on a host of version 2 sets no limits.
    @Test func namedHierarchiesAreNoLimits() {
        let named = "33 30 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd"
        let layout = CgroupLayout(mountinfo: CgroupLayoutTests.version2 + "\n" + named)
        #expect(layout.version1.isEmpty && !layout.limitsOnVersion1)
    }

    @Test(arguments: [
        "", "\n\n", "a b c", "1 2 3:4 / /x rw - cgroup2", "- - - -", "1 2 3:4 / - cgroup2 x y",
        "1 2 3:4 / /x rw cgroup2 cgroup2 rw",
    ])
    func otherLinesAreSkipped(text: String) {
        let layout = CgroupLayout(mountinfo: text)
        #expect(layout.version2 == nil && layout.version1.isEmpty)
    }

    @Test func theFirstMountOfAControllerCounts() {
        let second = CgroupLayoutTests.version1 + "\n40 30 0:32 / /other/memory rw - cgroup cgroup rw,memory"
        #expect(CgroupLayout(mountinfo: second).version1["memory"] == "/sys/fs/cgroup/memory")
    }

    @Test func thisHostHasOne() throws {
        let layout = try CgroupLayout.detect()
        #expect(layout.version2 != nil || !layout.version1.isEmpty)
    }
}
