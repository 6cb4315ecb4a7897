import Base
import OCI
import Testing

struct ConfigChangeTests {
    private func applied(_ changes: String..., to config: JSON = [:]) throws -> JSON {
        try ConfigChange.apply(changes, to: config)
    }

    @Test func instructionsChangeTheConfiguration() throws {
        let config = try applied(
            #"CMD ["nginx", "-g", "daemon off;"]"#, "entrypoint /run.sh now", "ENV A=1 B=\"two words\" C='x=y'",
            "ENV OLD the old form", "LABEL a=b", "LABEL \"quoted key\"=v", "EXPOSE 80 443/tcp 53/udp",
            #"VOLUME ["/data", "/with space"]"#, "VOLUME /a /b", "USER web:www", "WORKDIR /srv", "STOPSIGNAL SIGQUIT",
            "ONBUILD RUN x")
        #expect(config["Cmd"] == ["nginx", "-g", "daemon off;"])
        #expect(config["Entrypoint"] == ["/bin/sh", "-c", "/run.sh now"])
        #expect(config["Env"] == ["A=1", "B=two words", "C=x=y", "OLD=the old form"])
        #expect(config["Labels"] == ["a": "b", "quoted key": "v"])
        #expect(config["ExposedPorts"] == ["80/tcp": [:], "443/tcp": [:], "53/udp": [:]])
        #expect(config["Volumes"].object?.keys == ["/data", "/with space", "/a", "/b"])
        #expect(config["User"] == "web:www" && config["WorkingDir"] == "/srv" && config["StopSignal"] == "SIGQUIT")
        #expect(config["OnBuild"] == ["RUN x"])
    }

    @Test func variablesAreReplaced() throws {
        let config = try applied("ENV A=3", to: ["Env": ["A=1", "AB=2"]])
        #expect(config["Env"] == ["AB=2", "A=3"])
    }

    @Test(arguments: ["RUN x", "FROM y", "COPY a b", "nonsense", "HEALTHCHECK NONE x"])
    func whatNeedsABuildIsRefused(change: String) {
        let error = #expect(throws: SkalaError.self) { try applied(change) }
        #expect(error?.code == .invalid)
        #expect(error?.message.hasSuffix("is not a valid change command") == true)
    }

    @Test func theEmptyChangesNothing() throws { #expect(try applied("", " ", to: ["User": "x"]) == ["User": "x"]) }
}
