import Base
import CLinux
import Glibc
import Kernel
import NIOCore
import OCI
import TestSupport
import Testing

@testable import DockerAPI
@testable import Images
@testable import Machines
@testable import Networks
@testable import WardenProtocol

/// Decoders of what strangers send, under mutated input: they may refuse it, and must not crash, hang, or take what they
/// would not read the same again. See `Fuzz` for how to run long, and to run a failing round again.
@Suite(.timeLimit(.minutes(60))) struct FuzzTests {
    struct Differs: Error, CustomStringConvertible {
        let description: String
    }

    private static let configuration = #"""
        {"architecture":"amd64","os":"linux","created":"2024-01-02T03:04:05.6Z","config":{"Env":["PATH=/bin"],"Cmd":["sh"],
        "ExposedPorts":{"80/tcp":{}},"Labels":{"a":"b"}},"rootfs":{"type":"layers","diff_ids":["sha256:00"]},
        "history":[{"created":"0001-01-01T00:00:00Z","empty_layer":true}]}
        """#
    private static let manifest = #"""
        {"schemaVersion":2,"manifests":[{"digest":"sha256:ab","size":3,"platform":{"os":"linux","architecture":"arm",
        "variant":"v7"}}],"config":{"digest":"sha256:aa","size":-1},"layers":[{"digest":"x","size":1e3,"mediaType":"\ud83d\ude00"}]}
        """#
    private static let spec = #"""
        {"ociVersion":"1.2.0","process":{"args":["sh"],"cwd":"/","env":["A=b"],"user":{"uid":0,"gid":4294967294,
        "additionalGids":[1]},"rlimits":[{"type":"RLIMIT_CORE","soft":0,"hard":18446744073709551615}],"capabilities":{"bounding":
        ["CAP_KILL"]}},"mounts":[{"destination":"/proc","type":"proc","source":"proc","options":["nosuid"]}],"linux":{"namespaces":
        [{"type":"pid"},{"type":"network","path":"/x"}],"uidMappings":[{"containerID":0,"hostID":1,"size":65536}],"devices":
        [{"path":"/dev/x","type":"c","major":1,"minor":-1,"fileMode":438}],"resources":{"memory":{"limit":9223372036854775807},
        "devices":[{"allow":true,"access":"rwm"}],"unified":{"memory.high":"1"},"cpu":{"quota":-1}},"sysctl":{"a":"b"}}}
        """#

    @Test func json() async throws {
        let samples = [
            FuzzTests.configuration, FuzzTests.manifest, FuzzTests.spec, #"["\u0000\ud800",1e308,-0.0,[[[]]],null]"#,
        ]
        try await Fuzz.run("json") { random in
            let bytes = random.mutate(Array(random.pick(samples).utf8))
            guard let value = try? JSON(parsing: bytes) else { return }
            let again = try JSON(parsing: value.bytes)
            guard again.bytes == value.bytes else { throw Differs(description: value.text) }
        }
    }

    @Test func runtimeSpec() async throws {
        try await Fuzz.run("spec") { random in
            guard let json = try? JSON(parsing: random.mutate(Array(FuzzTests.spec.utf8))) else { return }
            guard let spec = try? RuntimeSpec(json) else { return }
            let texts = (spec.process?.arguments ?? []) + spec.mounts.map(\.destination)
            if texts.contains(where: { $0.utf8.contains(0) }) { throw Differs(description: "a zero byte got through") }
        }
    }

    @Test func disksOfStrangers() async throws {
        let header = Array(QCOW2.empty(size: 8 << 30).prefix(512))
        try await Fuzz.run("disk") { random in
            let bytes = random.mutate(header)
            let size = Int64(random.pick([0, 512, 1 << 20, 1 << 40, Int.max]))
            guard let format = try? DiskFormat(header: bytes, fileSize: size) else { return }
            guard format.size > 0, format.size <= DiskFormat.maximumSize, format.size % 512 == 0 else {
                throw Differs(description: "a disk of \(format.size)")
            }
        }
    }

    @Test func addressRequests() async throws {
        var request: [UInt8] = [1, 1, 6] + [UInt8](repeating: 0, count: 233)
        request += [99, 130, 83, 99, 53, 1, 3, 50, 4, 10, 0, 0, 2, 12, 3, 97, 98, 99, 255]
        let lease = DHCPLease(
            address: IPAddress(.v4, 0x0A00_0002), mask: IPAddress(.v4, 0xFFFF_0000), gateway: nil,
            nameServers: [], hostname: String(repeating: "x", count: 300),
            domain: String(repeating: "y", count: 300), mtu: 1500, seconds: 1)
        try await Fuzz.run("dhcp") { random in
            guard let parsed = DHCPRequest(random.mutate(request)) else { return }
            guard let answer = parsed.answer(lease, own: IPAddress(.v4, 1)) else { return }
            guard (300...576).contains(answer.count), answer[0] == 2, Array(answer[28..<34]) == parsed.hardwareAddress
            else {
                throw Differs(description: "an answer of \(answer.count) bytes")
            }
        }
    }

    @Test func imageDocuments() async throws {
        try await Fuzz.run("image") { random in
            if let json = try? JSON(parsing: random.mutate(Array(FuzzTests.configuration.utf8))) {
                let image = Image(id: "", tags: [], repoDigests: [], configuration: ImageConfiguration(json), size: 0)
                _ = (image.diffIDs, image.architecture, try? Timestamp(parsing: image.created))
            }
            if let json = try? JSON(parsing: random.mutate(Array(FuzzTests.manifest.utf8))) {
                _ = try Platform(parsing: "arm/v7").choose(from: json["manifests"].array ?? [])
                _ = json["layers"].array?.map { Digest.isValid($0["digest"].string ?? "") }
            }
            let reference = random.mutate(
                Array("localhost:5000/a/b:tag@sha256:\(String(repeating: "a", count: 64))".utf8))
            let text = String(decoding: reference, as: UTF8.self)
            if let parsed = try? Reference(parsing: text),
                try Reference(parsing: ImageStore.full(parsed)).path != parsed.path
            {
                throw Differs(description: text)
            }
            let challenge = random.mutate(Array(#"Bearer realm="https://x/y",service="z",scope="a:b""#.utf8))
            _ = RegistryClient.fields(String(decoding: challenge, as: UTF8.self))
            let link = random.mutate(Array(#"</v2/x/tags/list?n=2&last=b>; rel="next", </x>; rel="prev""#.utf8))
            _ = RegistryClient.nextPage(String(decoding: link, as: UTF8.self))
        }
    }

    @Test func times() async throws {
        let samples = [
            "2024-02-29T12:34:56.789+01:00", "-9223372036854775808", "1700000000.5", "0001-01-01T00:00:00Z",
            "9999-12-31",
        ]
        try await Fuzz.run("times") { random in
            let text = String(decoding: random.mutate(Array(random.pick(samples).utf8)), as: UTF8.self)
            if let time = try? Timestamp(parsing: text), try Timestamp(parsing: time.text) != time {
                throw Differs(description: text)
            }
            let duration = String(decoding: random.mutate(Array("1h2m3.5s4ms5us6ns".utf8)), as: UTF8.self)
            _ = try? DurationText.parse(duration)
            _ = try? ByteSize.parse(String(decoding: random.mutate(Array("12.5GiB".utf8)), as: UTF8.self))
        }
    }

    @Test func frames() async throws {
        var sample: [UInt8] = []
        Frame(.request, number: 7, payload: Array(#"{"op":"list"}"#.utf8)).write(to: &sample)
        Frame(.data, number: 9, channel: 1, payload: [1, 2, 3]).write(to: &sample)
        Frame.credit(stream: 9, count: 70000).write(to: &sample)
        func decoded(_ pieces: [[UInt8]]) -> (frames: [Frame], failed: Bool) {
            var decoder = FrameDecoder()
            var frames: [Frame] = []
            for piece in pieces {
                decoder.append(piece)
                do {
                    while let frame = try decoder.next() { frames.append(frame) }
                } catch { return (frames, true) }
            }
            return (frames, false)
        }
        try await Fuzz.run("frames") { random in
            let bytes = random.mutate(sample, changes: 6)
            let at = random.below(bytes.count + 1)
            let whole = decoded([bytes])
            let split = decoded([Array(bytes[..<at]), Array(bytes[at...])])
            guard whole.frames == split.frames, whole.failed == split.failed else {
                throw Differs(description: "split at \(at): \(bytes)")
            }
        }
    }

    @Test func requests() async throws {
        let samples = [
            "POST /v1.44/containers/create?name=a%20b&x=+ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\n\r\n",
            "PUT /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;a=\"b\"\r\nabc\r\n00a\r\n0123456789\r\n0\r\nT: 1\r\n\r\n",
            "GET /images/a/b/json?filters=%7B%22label%22%3A%5B%22a%3Db%22%5D%7D HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
        ]
        func events(_ pieces: [[UInt8]]) -> [String] {
            var parser = RequestParser()
            var buffer = ByteBuffer()
            var events: [String] = []
            var body = 0
            for piece in pieces {
                buffer.writeBytes(piece)
                var wantsMore = true
                while wantsMore {
                    do {
                        switch try parser.next(&buffer) {
                        case .needMore: wantsMore = false
                        case .body(let bytes): body += bytes.count
                        case .end:
                            events.append("end after \(body)")
                            body = 0
                        case .head(let head): events.append("\(head)")
                        }
                    } catch { return events + ["failure \(error.status)"] }
                }
            }
            return events
        }
        try await Fuzz.run("requests") { random in
            let bytes = random.mutate(Array(random.pick(samples).utf8))
            let at = random.below(bytes.count + 1)
            let whole = events([bytes])
            guard whole == events([Array(bytes[..<at]), Array(bytes[at...])]) else {
                throw Differs(description: "split at \(at): \(bytes)")
            }
            let target = String(decoding: bytes.prefix(80), as: UTF8.self)
            let query = try? Query(parsing: target.drop { $0 != "?" })
            _ = try? Filters(query?.first("filters"), allowed: ["label"])
            _ = try? APIVersion.split(path: target)
        }
    }

    @Test func names() async throws {
        let question: [UInt8] =
            [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0] + DNSQuery.encode("2.0.18.172.in-addr.arpa") + [0, 12, 0, 1]
        try await Fuzz.run("names") { random in
            guard let query = DNSQuery(random.mutate(question)) else { return }
            _ = query.reversedAddress
            let answer = query.answer([[1, 2, 3, 4]])
            guard answer.count > 12, answer[2] & 0x80 != 0, DNSQuery(answer) == nil else {
                throw Differs(description: "\(query.bytes)")
            }
        }
    }

    @Test func networkRequests() async throws {
        let sample =
            #"{"Name":"front","IPAM":{"Config":[{"Subnet":"172.30.0.0/16","Gateway":"172.30.0.1","IPRange":"172.30.5.0/24"}]},"Labels":{"a":"b"}}"#
        try await Fuzz.run("network") { random in
            guard let json = try? JSON(parsing: random.mutate(Array(sample.utf8))),
                let subnet = (try? NetworkRequest(json: json))?.subnets.first
            else { return }
            let network = try IPNetwork(parsing: subnet.subnet)
            let range = try subnet.ipRange.map { (text) throws(SkalaError) in try IPNetwork(parsing: text) }
            var pool = AddressPool(network: network, range: range, reserved: [try IPAddress(parsing: subnet.gateway)])
            for _ in 0..<3 {
                if let address = try? pool.take(), !network.contains(address) { throw Differs(description: json.text) }
            }
        }
    }
}
