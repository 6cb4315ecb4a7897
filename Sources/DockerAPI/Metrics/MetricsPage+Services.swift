import Planning
import Services

extension MetricsPage {
    func writeServices(_ text: inout MetricsText) {
        let named = services.map { (usage: $0, labels: MetricLabels(["service": $0.service.name])) }
        func each(
            _ name: String, _ help: String, _ value: (ServiceUsage) -> Int?
        ) {
            text.family(name, name.hasSuffix("_total") ? .counter : .gauge, help)
            for (usage, labels) in named { if let value = value(usage) { text.sample(labels, Int64(value)) } }
        }
        text.family("skala_swarm_manager", .gauge, "1 in swarm mode.")
        text.value(isManager ? 1 : 0)
        text.family("skala_service_info", .gauge, "A service that exists.")
        for (usage, labels) in named {
            let task = usage.service.spec.task
            text.sample(
                labels.with("id", usage.service.id).with("mode", usage.service.spec.mode.name)
                    .with("image", task.image).with("isolation", task.isolation), 1)
        }
        each("skala_service_replicas_desired", "Tasks that shall run.") { $0.status.desired }
        each("skala_service_replicas_running", "Tasks that run and shall.") { $0.status.running }
        each("skala_service_replicas_ready", "Of those, the ones that get connections: healthy, too.") { $0.ready }
        text.family("skala_service_tasks", .gauge, "Tasks by state, those kept for their history included.")
        for (usage, labels) in named {
            for state in TaskState.allCases {
                text.sample(labels.with("state", state.rawValue), Int64(usage.tasks[state] ?? 0))
            }
        }
        each("skala_service_tasks_started_total", "Tasks made.") { Int($0.counts.started) }
        each("skala_service_task_restarts_total", "Of those, in the place of one that ended or broke.") {
            Int($0.counts.restarted)
        }
        each("skala_service_tasks_failed_total", "Tasks that ended with an error, or never started.") {
            Int($0.counts.failed)
        }
        each("skala_service_update_active", "1 while an update or a rollback is under way or paused.") { usage in
            usage.service.rollout.map { $0.completedAt == nil ? 1 : 0 } ?? 0
        }
        each("skala_service_balancer_members", "Containers that new connections are led to.") { $0.members?.active }
        each("skala_service_balancer_members_leaving", "Containers that only keep the connections they have.") {
            $0.members?.leaving
        }
        writeRequests(&text, named)
        writeScaling(&text, named)
    }

    /// Of services whose requests are balanced, as HAProxy has counted since its start.
    private func writeRequests(_ text: inout MetricsText, _ named: [(usage: ServiceUsage, labels: MetricLabels)]) {
        let http = named.compactMap { usage, labels in usage.http.map { (figures: $0, labels: labels) } }
        func each(
            _ name: String, _ help: String, _ value: (HTTPFigures) -> Int
        ) {
            text.family(name, name.hasSuffix("_total") ? .counter : .gauge, help)
            for (figures, labels) in http { text.sample(labels, value(figures)) }
        }
        each("skala_service_http_requests_total", "Requests, with an answer or without.") { $0.requests }
        each("skala_service_http_errors_total", "Of those, answered with a status of 500 and more.") { $0.errors }
        each("skala_service_http_failures_total", "Of those, answered by no task.") { $0.failures }
        each("skala_service_http_retries_total", "Tries with another task.") { $0.retries }
        each("skala_service_http_requests_active", "Requests under way, those held included.") { $0.concurrency }
        each("skala_service_http_requests_held", "Requests that wait for a task.") { $0.held }
        text.family(
            "skala_service_http_response_seconds", .gauge,
            "Time to an answer's head of late; not to be added up or averaged.")
        for (figures, labels) in http {
            for (percent, milliseconds) in figures.latencyMilliseconds.sorted(by: { $0.key < $1.key }) {
                let quantile = MetricsText.text(Double(percent) / 100)
                text.sample(labels.with("quantile", quantile), Double(milliseconds) / 1000)
            }
        }
    }

    private func writeScaling(_ text: inout MetricsText, _ named: [(usage: ServiceUsage, labels: MetricLabels)]) {
        let scaled = named.filter { $0.usage.policy != nil }
        func each(_ name: String, _ help: String, _ value: (ServiceUsage) -> Int?) {
            text.family(name, .gauge, help)
            for (usage, labels) in scaled { if let value = value(usage) { text.sample(labels, Int64(value)) } }
        }
        each("skala_service_autoscale_minimum_replicas", "As few tasks as the autoscaler may choose.") {
            $0.policy?.minimum
        }
        each("skala_service_autoscale_maximum_replicas", "As many tasks as the autoscaler may choose.") {
            $0.policy?.maximum
        }
        each("skala_service_autoscale_replicas", "What the autoscaler decided last.") { $0.scaling?.to }
        each("skala_service_autoscale_wanted_replicas", "What the signals want, without limits and windows.") {
            $0.scaling?.wanted
        }
        text.family(
            "skala_service_autoscale_signal", .gauge,
            "What the autoscaler measured last: percent, requests a second, requests or milliseconds.")
        for (usage, labels) in scaled {
            for reading in usage.scaling?.readings ?? [] {
                guard let value = reading.measured else { continue }
                text.sample(labels.with("signal", reading.signal.rawValue), value)
            }
        }
        text.family("skala_service_autoscale_signal_target", .gauge, "What the signal shall be.")
        for (usage, labels) in scaled {
            for (signal, target) in (usage.policy?.targets ?? [:]).sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
                text.sample(labels.with("signal", signal.rawValue), target)
            }
        }
        text.family("skala_service_autoscale_decisions_total", .counter, "Decisions that changed the number.")
        for (usage, labels) in scaled {
            text.sample(labels.with("direction", "up"), usage.counts.scaledUp)
            text.sample(labels.with("direction", "down"), usage.counts.scaledDown)
        }
    }
}
