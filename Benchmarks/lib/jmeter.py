"""Apache JMeter without its window, as `skala load`'s peer."""

import os
import pathlib
import re
import subprocess

import host

PACKAGES = ("jmeter", "jmeter-http")
HOME = pathlib.Path("/usr/share/jmeter")
# A JVM compiles what it does often: only what comes after that is measured, in the last interval of JMeter's own summary.
WARM_UP, INTERVAL = 12, 5

# Debian's XStream reads no classes that it has not been told of, which JMeter 2.13 does not do; so that is done here first.
START = f"""
org.apache.jmeter.util.JMeterUtils.setJMeterHome("{HOME}");
org.apache.jmeter.util.JMeterUtils.loadJMeterProperties("{HOME}/bin/jmeter.properties");
field = Class.forName("org.apache.jmeter.save.SaveService").getDeclaredField("JMXSAVER");
field.setAccessible(true);
field.get(null).allowTypesByWildcard(new String[] {{"org.apache.**"}});
new org.apache.jmeter.JMeter().start(bsh.args);
"""

PLAN = """<?xml version="1.0" encoding="UTF-8"?>
<jmeterTestPlan version="1.2" properties="2.8">
  <hashTree>
    <TestPlan guiclass="TestPlanGui" testclass="TestPlan" testname="load" enabled="true"/>
    <hashTree>
      <ThreadGroup guiclass="ThreadGroupGui" testclass="ThreadGroup" testname="users" enabled="true">
        <elementProp name="ThreadGroup.main_controller" elementType="LoopController" testclass="LoopController">
          <boolProp name="LoopController.continue_forever">false</boolProp>
          <intProp name="LoopController.loops">-1</intProp>
        </elementProp>
        <stringProp name="ThreadGroup.num_threads">{users}</stringProp>
        <stringProp name="ThreadGroup.ramp_time">0</stringProp>
        <boolProp name="ThreadGroup.scheduler">true</boolProp>
        <stringProp name="ThreadGroup.duration">{seconds}</stringProp>
        <stringProp name="ThreadGroup.delay">0</stringProp>
        <stringProp name="ThreadGroup.on_sample_error">continue</stringProp>
      </ThreadGroup>
      <hashTree>
        <HTTPSamplerProxy guiclass="HttpTestSampleGui" testclass="HTTPSamplerProxy" testname="get" enabled="true">
          <elementProp name="HTTPsampler.Arguments" elementType="Arguments">
            <collectionProp name="Arguments.arguments"/>
          </elementProp>
          <stringProp name="HTTPSampler.domain">{address}</stringProp>
          <stringProp name="HTTPSampler.port">{port}</stringProp>
          <stringProp name="HTTPSampler.protocol">http</stringProp>
          <stringProp name="HTTPSampler.path">/</stringProp>
          <stringProp name="HTTPSampler.method">GET</stringProp>
          <boolProp name="HTTPSampler.use_keepalive">true</boolProp>
        </HTTPSamplerProxy>
        <hashTree/>
      </hashTree>
    </hashTree>
  </hashTree>
</jmeterTestPlan>
"""


def processor_time(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(bench, address, port, users):
    """(requests a second, requests a second of processor time), warm, and no result file to write."""
    folder = bench.local.folder
    (folder / "plan.jmx").write_text(
        PLAN.format(users=users, seconds=WARM_UP + 2 * INTERVAL, address=address, port=port)
    )
    (folder / "start.bsh").write_text(START)
    jars = [HOME / "bin/ApacheJMeter.jar", *sorted(HOME.glob("lib/*.jar")), *sorted(HOME.glob("lib/ext/*.jar"))]
    jars.append("/usr/share/java/bsh.jar")
    process = subprocess.Popen(
        [
            host.path_to("java"), f"-Djmeter.home={HOME}", "-cp", ":".join(map(str, jars)), "bsh.Interpreter",
            str(folder / "start.bsh"), "-n", "-t", str(folder / "plan.jmx"), "-j", str(folder / "jmeter.log"),
            f"-Jsummariser.interval={INTERVAL}",
        ],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder,
    )
    found, last, said = None, None, []
    try:
        for line in process.stdout:
            said.append(line)
            match = re.match(r"summary \+\s+(\d+) in\s+([\d.]+)s =\s*[\d.]+/s .*Err:\s+(\d+)", line)
            if not match:
                continue
            time = processor_time(process.pid)
            count, seconds, errors = int(match[1]), float(match[2]), int(match[3])
            if errors:
                raise RuntimeError(f"requests of JMeter's failed: {line.strip()}")
            # The one before the last is whole: in the last, users come to their end.
            if last is not None and seconds > INTERVAL - 1 and "Finished: 0" in line:
                found = (count / seconds, count / (time - last))
            last = time
    finally:
        process.kill()
        process.wait()
    if not found:
        raise RuntimeError(f"JMeter told no whole interval: {''.join(said[-8:])}")
    return found
