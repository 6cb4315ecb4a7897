import Base
import Networks
import Planning
import Testing

@testable import Services

struct HTTPPolicyTests {
    private func policy(_ labels: [String: String]) throws -> HTTPPolicy? {
        try HTTPPolicy(labels: Dictionary(uniqueKeysWithValues: labels.map { ("skala.http." + $0.key, $0.value) }))
    }

    private func endpoint(_ ports: (published: Int, target: Int)...) -> EndpointSpec {
        EndpointSpec(ports: ports.map { ServicePort(targetPort: $0.target, publishedPort: $0.published) })
    }

    private func service(_ labels: [String: String], _ endpoint: EndpointSpec, sleeps: Bool = false) throws
        -> HTTPService
    {
        let policy = try #require(try policy(labels))
        return try policy.service("x", endpoint, algorithm: .roundRobin, pem: "pem", sleeps: sleeps)
    }

    @Test func labelsMakeTheService() throws {
        #expect(try policy([:]) == nil)
        let service = try service(
            [
                "port": "8080", "host": "Shop.example, *.shop.example", "path": "/a,/b", "certificate": "c",
                "redirect": "80",
                "retries": "1", "repeat": "true", "slow-start": "1500ms", "drain": "1m",
            ], endpoint((80, 8080), (443, 8080), (9000, 9000)))
        #expect(
            service.listeners == [
                .init(port: 80, redirectsTo: 443), .init(port: 443, certificate: "pem"),
            ])
        #expect(
            service.routes.map { $0.host + $0.path } == [
                "shop.example/a", "shop.example/b", "*.shop.example/a", "*.shop.example/b",
            ])
        #expect(service.retries == 1 && service.repeatsRequests && service.slowStart == 2 && service.hold == 0)
        #expect(try policy(["drain": "1m"])?.drain == 60_000_000_000)
    }

    /// The port is the one that is published; a service that may sleep holds requests.
    @Test func whatIsNotSaidIsPlain() throws {
        let asleep = try service(["host": "a"], endpoint((18080, 80)), sleeps: true)
        #expect(asleep.listeners == [.init(port: 18080, certificate: "pem")])
        #expect(asleep.hold == 60)
        #expect(try service(["hold": "5s"], endpoint((18080, 80)), sleeps: true).hold == 5)
        #expect(try service(["hold": "5s"], endpoint((18080, 80))).hold == 5)
        #expect(throws: SkalaError.self) { try service(["host": "a"], endpoint((1, 80), (2, 81))) }
        #expect(throws: SkalaError.self) { try service(["host": "a"], endpoint()) }
        #expect(throws: SkalaError.self) { try service(["port": "81"], endpoint((1, 80))) }
        #expect(throws: SkalaError.self) { try service(["port": "80"], endpoint((0, 80))) }
        #expect(throws: SkalaError.self) { try service(["certificate": "c", "redirect": "1"], endpoint((1, 80))) }
    }

    @Test(arguments: [
        ["port": "0"], ["port": "http"], ["host": ""], ["host": "a,,b"], ["host": "a b"], ["host": "a\nbind"],
        ["host": "*"],
        ["path": "x"], ["path": "/a b"], ["path": "/a}"], ["path": "/a\\"], ["certificate": ""], ["redirect": "80"],
        ["retries": "11"], ["repeat": "yes"], ["slow-start": "2h"], ["hold": "-1s"], ["hold": "10m"], ["drain": "long"],
        ["prot": "80"],
    ])
    func wrongOnesAreRefused(_ labels: [String: String]) {
        #expect(throws: SkalaError.self) { try policy(labels) }
    }
}
