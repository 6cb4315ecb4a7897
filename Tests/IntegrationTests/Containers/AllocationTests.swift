import Kernel
import Testing

extension Integration {
    /// The annotations `skala.allocation` and `skala.network.rate`.
    @Suite(.serialized) struct AllocationTests {
        private let cores = "grep Cpus_allowed_list /proc/1/status | tr -d '\\t' | cut -d: -f2"

        @Test func dedicatedCoresAreKeptFree() async throws {
            guard HostFacts.onlineCPUs > 1 else { return skip("dedicatedCoresAreKeptFree", "needs two cores") }
            try await Session.run { t in
                let last = "\(HostFacts.onlineCPUs - 1)"
                try await t.sh("docker run -d --name ${N}s busybox sleep 1000")
                try await t.sh(
                    "docker run -d --name ${N}d --annotation skala.allocation=dedicated --cpus 1 busybox sleep 1000")
                try await t.sh("docker exec ${N}d sh -c \"\(cores)\"", prints: last)
                try await t.sh(
                    "for i in $(seq 50); do docker exec ${N}s sh -c \"\(cores)\" | grep -q '\(last)$' || break; sleep 0.1; done; docker exec ${N}s sh -c \"\(cores)\" | grep -c '\(last)$' || true",
                    prints: "0")
                try await t.sh(
                    "docker inspect ${N}d | grep -A2 '\"Allocation\"'", has: "\"Mode\": \"dedicated\"",
                    "\"DedicatedCpus\": \"\(last)\"")
                try await t.sh("docker rm -f ${N}d >/dev/null")
                try await t.sh(
                    "for i in $(seq 50); do docker exec ${N}s sh -c \"\(cores)\" | grep -q '\(last)$' && break; sleep 0.1; done; docker exec ${N}s sh -c \"\(cores)\" | grep -c '\(last)$'",
                    prints: "1")
            }
        }

        @Test func whatCannotBeGivenIsRefused() async throws {
            try await Session.run { t in
                try await t.fails(
                    "docker run --rm --annotation skala.allocation=dedicated --cpus \(HostFacts.onlineCPUs) busybox true",
                    125, "one stays for all others")
                try await t.fails(
                    "docker run --rm --annotation skala.allocation=most busybox true", 125,
                    "expected dedicated, shared, best-effort")
                try await t.fails(
                    "docker run --rm --annotation skala.network.rate=10 busybox true", 125, "at least 1k")
            }
        }

        @Test func bestEffortIsKilledFirst() async throws {
            try await Session.run { t in
                try await t.sh(
                    "docker run --rm --annotation skala.allocation=best-effort busybox cat /proc/1/oom_score_adj",
                    prints: "900")
            }
        }
    }
}
