import Base
import CLinux
import Glibc
import Kernel
import OCI
import Testing

@testable import Warden

@Suite struct DeviceFilterTests {
    private typealias Rule = RuntimeResources.DeviceRule

    /// Carries out the program as the kernel would, for the instructions it is made of.
    private func decide(_ program: [UInt8], type: UInt32, access: UInt32, major: UInt32, minor: UInt32) -> UInt32? {
        let context = [access << 16 | type, major, minor]
        var registers = [UInt32](repeating: 0, count: 6)
        var at = 0
        for _ in 0..<10_000 {
            guard at + 8 <= program.count else { return nil }
            let bytes = program[at..<at + 8].map { $0 }
            at += 8
            let destination = Int(bytes[1] & 15), source = Int(bytes[1] >> 4)
            let offset = Int(Int16(bitPattern: UInt16(bytes[2]) | UInt16(bytes[3]) << 8))
            let immediate = (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[4 + $1]) << UInt32(8 * $1) }
            switch bytes[0] {
            case 0x61: registers[destination] = context[offset / 4]
            case 0xBC: registers[destination] = registers[source]
            case 0xB4: registers[destination] = immediate
            case 0x54: registers[destination] &= immediate
            case 0x74: registers[destination] >>= immediate
            case 0x56: if registers[destination] != immediate { at += offset * 8 }
            case 0x16: if registers[destination] == immediate { at += offset * 8 }
            case 0x95: return registers[0]
            default: return nil
            }
        }
        return nil
    }

    @Test func theLastMatchingRuleDecides() {
        let rules = [
            Rule(allow: true, type: "c", major: nil, minor: nil, access: "m"),
            Rule(allow: true, type: "c", major: 1, minor: 3, access: "rwm"),
            Rule(allow: true, type: "c", major: 10, minor: 229, access: "r"),
            Rule(allow: true, type: "b", major: 8, minor: nil, access: "rw"),
            Rule(allow: false, type: "b", major: 8, minor: 1, access: "w"),
        ]
        let program = DeviceFilter(rules).program
        let (block, character): (UInt32, UInt32) = (1, 2)
        let (make, read, write): (UInt32, UInt32, UInt32) = (1, 2, 4)
        let expected: [(UInt32, UInt32, UInt32, UInt32, UInt32)] = [
            (character, read | write, 1, 3, 1), (character, make, 99, 1, 1), (character, read, 99, 1, 0),
            (character, read, 10, 229, 1), (character, read | write, 10, 229, 0), (block, make, 10, 229, 0),
            (block, read, 8, 1, 1), (block, write, 8, 1, 0), (block, read | write, 8, 1, 0),
            (block, read | write, 8, 2, 1), (block, read, 9, 2, 0),
        ]
        for (type, access, major, minor, verdict) in expected {
            let decided = decide(program, type: type, access: access, major: major, minor: minor)
            #expect(decided == verdict, "type \(type) access \(access) \(major):\(minor)")
        }
        #expect(decide(DeviceFilter([]).program, type: character, access: read, major: 1, minor: 3) == 0)
        let all = DeviceFilter([Rule(allow: true, type: "a", major: nil, minor: nil, access: "rwm")]).program
        #expect(decide(all, type: block, access: 7, major: 5, minor: 5) == 1)
    }

    /// The kernel takes the program, and it holds: where there is a version 2 tree and the right to load programs.
    @Test func theKernelEnforcesIt() throws {
        guard getuid() == 0, let tree = try CgroupLayout.detect().version2 else {
            return print("SKIP: needs root and cgroup v2")
        }
        let path = "\(tree)/skala-test-\(Identifier.make().prefix(12))"
        try checkErrno(mkdir(path, 0o755), "mkdir", path)
        defer { rmdir(path) }
        let directory = try OwnedDescriptor.open(path, O_RDONLY | CL_O_DIRECTORY)
        func attach(_ rules: [RuntimeResources.DeviceRule]) -> Int32 {
            let program = DeviceFilter(rules).program
            return cl_set_device_filter(directory.raw, program, UInt32(program.count / 8))
        }
        let null = Rule(allow: true, type: "c", major: 1, minor: 3, access: "rw")
        let zero = Rule(allow: true, type: "c", major: 1, minor: 5, access: "r")
        guard attach([null]) == 0 else { return print("SKIP: device filters cannot be attached") }
        func opens(_ device: String) throws -> Bool {
            let script = "echo 0 > \(path)/cgroup.procs && exec 2>/dev/null && : < \(device)"
            return try Subprocess.run(["/bin/bash", "-c", script]) == 0
        }
        #expect(try opens("/dev/null") && !opens("/dev/zero"))
        // A second one replaces the first.
        #expect(attach([null, zero]) == 0)
        #expect(try opens("/dev/zero") && !opens("/dev/full"))
        // A privileged container's rules, with some that no longer matter.
        let all = Rule(allow: true, type: "a", major: nil, minor: nil, access: "rwm")
        #expect(attach([null, all]) == 0 && attach([all, zero]) == 0)
        #expect(try opens("/dev/full"))
    }
}
