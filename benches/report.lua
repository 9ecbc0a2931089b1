-- wrk's own figures as one line of JSON (times in microseconds), so that nothing has to be parsed out of prose.
done = function(summary, latency, _)
   local e = summary.errors
   io.write(string.format(
      'RESULT {"requests":%d,"duration":%d,"p50":%d,"p99":%d,"status":%d,"broken":%d}\n',
      summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
      e.status, e.connect + e.read + e.write + e.timeout))
end
