import Glibc
import Kernel
import TestSupport
import Testing

@testable import DockerAPI
@testable import Engine

/// docs/api-coverage.md is what the code does.
struct CoverageTests {
    private static let document = "docs/api-coverage.md"
    /// Clients set these for themselves, and find them again in what inspect shows; `Consistency` is macOS's. The
    /// other two clients send always, and one node has no use for them.
    private static let shownOnly: Set = ["ContainerIDFile", "Consistency", "ListenAddr", "SubnetSize"]

    private func coverage(_ repository: Repository) async throws -> Coverage {
        let folder = try TemporaryFolder()
        return Coverage(
            router: try await makeRouter(in: folder),
            routes: try #require(repository.text("Tests/RepositoryTests/docker-api-routes.txt")),
            fields: try #require(repository.text("Tests/RepositoryTests/docker-api-fields.txt")))
    }

    @Test func theDocumentIsCurrent() async throws {
        let repository = try Repository()
        let text = try await coverage(repository).text
        if getenv("SKALA_WRITE_DOCS") != nil {
            try FileContents.replace(repository.root + "/" + CoverageTests.document, with: Array(text.utf8))
            return
        }
        #expect(repository.text(CoverageTests.document) == text, "run make docs")
    }

    @Test func everyRouteIsDoneOrRefused() async throws {
        let coverage = try await coverage(Repository())
        #expect(coverage.routes.count == 107)
        for route in coverage.routes {
            let state = coverage.state(method: route[0], path: route[1])
            #expect(state != .missing, "\(route[0]) \(route[1]) is neither done nor refused with a reason")
        }
    }

    /// What is not listed as refused must be read somewhere: a field nobody reads is ignored.
    @Test func everyFieldIsReadOrRefused() async throws {
        let repository = try Repository()
        let coverage = try await coverage(repository)
        let sources = repository.files(in: "Sources", suffixes: [".swift"])
        for row in coverage.fields {
            for field in row.dropFirst() where coverage.state(object: row[0], field: field) == .done {
                // In the tables of defaults every field stands; a subscript there reads it.
                let isRead = sources.contains { file in
                    file.code.contains("[\"\(field)\"]")
                        || !file.path.hasSuffix("ContainerDefaults.swift") && file.code.contains("\"\(field)\"")
                }
                let isShownOnly = CoverageTests.shownOnly.contains(field)
                #expect(isRead || isShownOnly, "\(row[0]).\(field) is neither read nor refused")
            }
        }
    }

    @Test func refusedFieldsExist() async throws {
        let coverage = try await coverage(Repository())
        for (object, refused) in RefusedFields.all {
            let row = coverage.fields.first { $0[0] == object } ?? []
            for field in refused { #expect(row.contains(field.key), "\(object) has no field \(field.key)") }
        }
    }
}
