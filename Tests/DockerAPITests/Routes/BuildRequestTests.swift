import Base
import Engine
import Images
import OCI
import Testing

@testable import DockerAPI

struct BuildRequestTests {
    private func request(_ query: String, registries: String? = nil) throws -> BuildRequest {
        try BuildRequest(Query(parsing: query), registryConfiguration: registries)
    }

    /// What Docker's client sends when nothing is asked for.
    private static let plain =
        "buildargs=%7B%7D&cachefrom=%5B%5D&cgroupparent=&cpuperiod=0&cpuquota=0&cpusetcpus=&cpusetmems=&cpushares=0"
        + "&dockerfile=Dockerfile&labels=%7B%7D&memory=0&memswap=0&networkmode=default&rm=1&shmsize=0&target="
        + "&ulimits=null&version=1"

    @Test func whatIsNotAskedForIsNotRefused() throws {
        let build = try request(Self.plain)
        #expect(build.dockerfile == "Dockerfile" && build.usesCache && !build.pullsAlways && !build.squashes)
        #expect(build.arguments.isEmpty && build.labels.isEmpty && build.ulimits.isEmpty && build.extraHosts.isEmpty)
        #expect(build.platform == nil && build.target.isEmpty && build.network == "default")
    }

    @Test func everyParameterIsRead() throws {
        let auth = #"{"https://index.docker.io/v1/": {"username": "me", "password": "p"}}"#
        let build = try request(
            "t=a:1&t=localhost/b&dockerfile=x/File&buildargs=%7B%22A%22:%22b%22,%22C%22:null%7D"
                + "&labels=%7B%22l%22:%22m%22%7D&target=last&nocache=1&pull=1&networkmode=none&platform=linux/arm/v7"
                + "&extrahosts=a:1.2.3.4&extrahosts=b:::1,c:5.6.7.8&squash=true&isolation=default"
                + "&ulimits=%5B%7B%22Name%22:%22nofile%22,%22Soft%22:5,%22Hard%22:6%7D%5D",
            registries: Base64.encode(Array(auth.utf8)))
        #expect(build.tags.map(\.familiar) == ["a:1", "localhost/b:latest"] && build.dockerfile == "x/File")
        #expect(build.arguments == ["A": "b"] && build.labels == ["l": "m"] && build.target == "last")
        #expect(!build.usesCache && build.pullsAlways && build.network == "none" && build.squashes)
        #expect(build.platform?.text == "linux/arm/v7")
        #expect(build.extraHosts == ["a:1.2.3.4", "b:::1", "c:5.6.7.8"] && build.ulimits == ["nofile=5:6"])
        #expect(build.credentials["docker.io"]?.username == "me")
    }

    @Test(
        arguments: [
            ("memory=1", "ImageBuild.memory is not supported: the instructions of a build have no control group"),
            ("memswap=-1", "ImageBuild.memswap"), ("cpushares=2", "ImageBuild.cpushares"),
            ("cpusetcpus=0-1", "ImageBuild.cpusetcpus"), ("cpusetmems=0-1", "cpusetmems"),
            ("cpuperiod=100", "cpuperiod"), ("cpuquota=100", "cpuquota"), ("cgroupparent=/a", "cgroupparent"),
            ("shmsize=1024", "ImageBuild.shmsize"), ("cachefrom=%5B%22a%22%5D", "ImageBuild.cachefrom"),
            ("securityopt=seccomp=unconfined", "does not support setting security options on build"),
            ("remote=https://example.com/a.git", "send the context instead"),
            ("outputs=%5B%7B%22Type%22:%22moby%22%7D%5D", "ImageBuild.outputs"), ("session=a", "set DOCKER_BUILDKIT=0"),
            ("version=2", "set DOCKER_BUILDKIT=0"), ("version=3", "invalid version '3'"),
            ("isolation=hyperv", "the isolation hyperv is not supported"),
            ("networkmode=other", "the network other is not supported"), ("platform=a/b/c/d", "invalid platform"),
            ("ulimits=%5B%7B%22Name%22:%22nofile%22%7D%5D", "has no Name, Soft and Hard"), ("labels=1", "labels is no"),
            ("buildargs=%5B1%5D", "buildargs is no JSON object"), ("t=A", "must be lowercase"),
        ])
    func whatIsNotDoneIsRefused(query: String, text: String) throws {
        let error = #expect(throws: SkalaError.self) { try request(query) }
        #expect(error?.message.contains(text) == true, "\(error?.message ?? "")")
    }
}
