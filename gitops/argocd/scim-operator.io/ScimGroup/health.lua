-- What Argo CD shows of a ScimGroup. Suspended waits for somebody's decision: suspend, a dry run, the
-- deprovisioning guard. While the connection cannot be used this is Progressing, and the connection Degraded.

-- Where nothing is wrong and nothing goes on before somebody says so.
local decision = { Suspended = true, DryRun = true, DeprovisioningHeld = true }

local conditions = {}
if obj.status ~= nil and obj.status.conditions ~= nil then
  for _, condition in ipairs(obj.status.conditions) do
    conditions[condition.type] = condition
  end
end

local ready, stalled = conditions.Ready, conditions.Stalled
if obj.metadata.deletionTimestamp ~= nil then
  return { status = "Progressing", message = "Being deleted" }
end
if ready == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "Not looked at by the operator yet" }
end
if ready.status == "True" then
  return { status = "Healthy", message = ready.message }
end
if decision[ready.reason] then
  return { status = "Suspended", message = ready.message }
end
if stalled ~= nil and stalled.status == "True" then
  return { status = "Degraded", message = ready.message }
end
return { status = "Progressing", message = ready.message }
